"""Stands where ledgereth has its ``messages``."""

from __future__ import annotations

from typing import NoReturn

from . import NoHardwareWallet


def sign_typed_data_draft(*arguments: object, **options: object) -> NoReturn:
    raise NoHardwareWallet("this environment has no driver for hardware wallets")
