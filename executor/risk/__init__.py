"""Limits before an entry's bytes, and the state that they are checked against."""
