"""Which calls a user's policies allow."""
