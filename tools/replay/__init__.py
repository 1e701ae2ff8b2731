"""A recording played back: the instance's own detector and executor, with nothing changed but the clock."""
