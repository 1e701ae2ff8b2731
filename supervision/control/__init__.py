"""How the operator speaks to a running instance: a Unix socket of the supervisor's, and what it answers."""
