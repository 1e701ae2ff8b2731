"""Orders on their way out: signed beforehand, written together, found again."""
