"""One target under atheris: ``python -m verification.fuzz.one NAME [libFuzzer arguments]``.

Everything of ours that is imported from here on is instrumented, so that inputs reaching new code
are kept and mutated further.
"""

from __future__ import annotations

import sys

import atheris

OURS = ["venues", "simulator", "executor", "persistence", "shm"]


def main() -> None:
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=OURS):
        from verification.fuzz.registry import TARGETS
    atheris.Setup(sys.argv, TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
