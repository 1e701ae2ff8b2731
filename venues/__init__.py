"""Venues: what they speak, one folder each, no sockets and no clocks."""
