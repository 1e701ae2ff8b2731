"""Alerts: messages to a person whom an instance needs.

    conditions.py a snapshot and the newest events -> conditions that hold now, notices of what happened
    book.py       conditions -> messages: each once, again after a while, and its end
    targets.py    Telegram, Discord, webhook, mail, by their settings and secrets
    outbox.py     messages -> a target: a bounded queue, retries, a rate limit, a thread of its own

The first two are pure but for what they remember; ``monitoring.alerts.process`` is the process around them.
"""
