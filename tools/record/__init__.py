"""A session on disk: every quote, decision and fill, in files that a replay needs nothing else beside."""
