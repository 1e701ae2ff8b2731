"""Stands where ledgereth has its ``comms``."""

from __future__ import annotations

from typing import NoReturn

from . import NoHardwareWallet


def init_dongle(*arguments: object, **options: object) -> NoReturn:
    raise NoHardwareWallet("this environment has no driver for hardware wallets")
