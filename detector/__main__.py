"""``python -m detector``: started by the supervisor."""

from detector.process import main

main()
