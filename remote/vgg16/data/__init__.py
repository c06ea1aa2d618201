"""Data sets, and the kinds of pictures and decoders that `pictures` needs only sometimes."""
