"""``python -m persistence``: started by the supervisor."""

from persistence.process import main

main()
