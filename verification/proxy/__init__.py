"""A faulty network between the bot and its venues: 88 faults, at an entry and at an exit.

kinds.py    what can go wrong, on which road of which venue
relay.py    the proxy: whole requests and whole frames, one of them spoilt
play.py     one run: the real executor, the proxies, the simulated venues; judged by the venues' books
kept.py     the real persistence beside it, and what journal and database hold in the end
"""
