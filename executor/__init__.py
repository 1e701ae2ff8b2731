"""The executor: carries out what the pair machine decides, on both venues at once."""
