"""The part of ``ledgereth`` that paradex-py imports, without the USB, NFC and Bluetooth drivers below it.

Keys that lie on a hardware wallet are not used here; a caller that asks for one gets an error.
"""

from __future__ import annotations


class NoHardwareWallet(RuntimeError):
    """A hardware wallet was asked for in an environment that has no driver for one."""
