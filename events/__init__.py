"""What a process says: one frozen type for each event, a module for each subject.

``event`` says what all of them have in common, ``codec`` how they are written and read, ``catalogue`` makes
``docs/events.md`` of them. The journal, the database, limits and alerts hang on these types; the log is a
rendering of them (``logs``).
"""
