"""Keeps every event: queues → journal file → PostgreSQL. No other process waits for it."""
