"""Resources that bill, in every region."""
