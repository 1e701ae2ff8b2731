"""``python -m feeds --venue NAME``: started by the supervisor, one per venue."""

from feeds.process import main

main()
