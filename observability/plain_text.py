"""Makes text from outside printable: without what drives a terminal or breaks a line.

A venue, a database, an operator's terminal and a file's name may hold anything. Escape sequences clear
screens and set titles, bidirectional overrides reorder what is read, a line break inside a text fakes a
line of its own, and a lone surrogate (how Python shows a byte that is not UTF-8) raises where it is
encoded. ``plain`` is called where a text comes in, and once more where a tool shows one.
"""

from __future__ import annotations

import re
from typing import Final

# In the order of the groups: what separates words becomes a blank, what cannot be encoded the
# replacement character, everything else that is not seen goes: other controls (C0, DEL, C1), marks of
# direction, zero widths, soft hyphen, invisible operators, annotations, tags.
_UNSEEN: Final = re.compile(
    "([\t\n\x0b\x0c\r\x1c-\x1f\x85\u2028\u2029]+)"
    "|([\ud800-\udfff])"
    "|[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
    # Format characters of scripts, which stand before what they enclose.
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a]"
)
_REPLACEMENT: Final = "\ufffd"


def plain(text: str) -> str:
    """The text on one line, every character of it seen and encodable."""
    if text.isascii() and text.isprintable():  # nearly always, and at no cost
        return text
    return _UNSEEN.sub(_seen, text)


def plain_lines(text: str) -> str:
    """``plain`` for a text of several lines that are ours: they stay apart."""
    return "\n".join(map(plain, text.split("\n")))


def _seen(found: re.Match[str]) -> str:
    if found[1]:
        return " "
    return _REPLACEMENT if found[2] else ""
