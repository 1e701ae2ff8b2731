"""What happened, kept: queues → journal file → PostgreSQL. Nobody waits for it."""
