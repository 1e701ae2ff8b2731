"""What the operator asks of the executor: pauses, forced exits, reconciliation, reload."""
