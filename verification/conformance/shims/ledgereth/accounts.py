"""Stands where ledgereth has its ``accounts``."""

from __future__ import annotations

from typing import NoReturn

from . import NoHardwareWallet


def find_account(*arguments: object, **options: object) -> NoReturn:
    raise NoHardwareWallet("this environment has no driver for hardware wallets")
