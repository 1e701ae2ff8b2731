"""Quotes in, signals out: the decision process. Knows no socket."""
