"""What leaves as text: the log, how it is limited, written and freed of secrets, and the standard streams."""
