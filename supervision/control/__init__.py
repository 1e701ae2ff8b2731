"""The operator's control socket: commands to a running instance, and their answers."""
