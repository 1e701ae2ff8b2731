"""``python -m executor``: started by the supervisor."""

from executor.process import main

main()
