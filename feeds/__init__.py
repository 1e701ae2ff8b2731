"""One process per venue: its public WebSocket in, quotes and depth in shared memory out."""
