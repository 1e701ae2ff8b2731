"""Reads what a person writes for Tandem: YAML, files of secrets, paths on the command line."""
