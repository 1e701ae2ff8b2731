"""Readers of a running instance: snapshot, metrics, alerts. None of them writes."""
