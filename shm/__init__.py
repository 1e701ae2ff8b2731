"""Shared memory: records, slots, rings, counters, doorbells. Standard library only."""
