"""Mode paper: orders filled from the depth the feeds publish, on an account that is only written down.

``book`` says what stands and what an order takes of it, ``account`` keeps the money, ``journal`` the
file, ``venue`` puts the three together, and ``gateway`` is the executor's contract around it.
"""
