"""Declares the events that processes report: one frozen type for each, a module for each subject.

``event`` has what all of them share, ``codec`` writes and reads them, ``catalogue`` makes ``docs/events.md``
of them. The journal, the database, limits and alerts depend on these types; the log is a rendering of them
(``observability.logs``).
"""
