"""The pair machine and its parts. Pure: no clock, no I/O, no randomness."""
