"""This laptop's records. They save time or money but never decide what exists."""
