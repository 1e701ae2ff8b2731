"""What a person writes for Tandem to read: YAML and files of secrets, by rules that surprise nobody."""
