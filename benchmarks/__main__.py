"""Run every benchmark, one after the other: ``python -m benchmarks [NAME ...]``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PARTS = {"__main__", "measure", "starknet_py_baseline"}  # of the folder, not benchmarks themselves


def main() -> int:
    known = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in PARTS)
    wanted = sys.argv[1:] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    # A process each: what one leaves in caches, heap and collector is not the next one's.
    return max(subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode for name in wanted)


if __name__ == "__main__":
    sys.exit(main())
