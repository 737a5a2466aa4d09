"""Messages of a corpus: what indexing and rendering one takes, in C and in Python."""
