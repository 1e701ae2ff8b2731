"""The log: how lines are written, limited and freed of secrets."""
