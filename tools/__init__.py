"""Commands beside the bot. They attach to memory or database and only read."""
