"""The supervisor's parts: it starts, watches, replaces and stops the processes."""
