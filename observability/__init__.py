"""What leaves as text: lines of the log, screens of tools, and the streams they go to."""
