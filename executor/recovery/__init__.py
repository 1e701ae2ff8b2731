"""State that survives a kill, and how a pair is restored from it."""
