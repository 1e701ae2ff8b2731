"""Makes the README's pictures from a running instance: ``python -m verification.pictures [--config FILE]``.

It draws the monitor's screen, and the report of what the instance's database holds. Chromium turns both into
``docs/monitor.png`` and ``docs/report.png``. Let the instance close a few trades first.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from monitoring.instance import instance_directory
from monitoring.journal_tail import JournalTail
from monitoring.snapshot import Watcher
from persistence.journal import journal_directory
from settings import PROJECT, load_raw, parse_settings
from tools.screen import draw

_COLUMNS, _ROWS = 120, 36
_PIXELS_PER_COLUMN, _PIXELS_PER_ROW = 12.2, 24.4  # of the SVG that rich writes
_REPORT_PIXELS: Final = (1000, 1100)
_CHROMIUM: Final = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def main() -> int:
    """Exit code 0 when both pictures are written; an error of a part ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-c", "--config", type=Path, default=PROJECT / "config.yaml")
    config = parser.parse_args().config
    with tempfile.TemporaryDirectory() as directory:
        screen = Path(directory) / "monitor.svg"
        screen.write_text(draw_monitor(config))
        size = round(_COLUMNS * _PIXELS_PER_COLUMN) + 20, round(_ROWS * _PIXELS_PER_ROW) + 60
        photograph(screen, PROJECT / "docs" / "monitor.png", size)
        report = Path(directory) / "report"
        words = [sys.executable, "-m", "tools", "report", "--config", str(config), "--out", str(report)]
        subprocess.run(words, cwd=PROJECT, check=True)
        photograph(report / "report.html", PROJECT / "docs" / "report.png", _REPORT_PIXELS)
    return 0


def draw_monitor(config: Path) -> str:
    """The monitor's screen as SVG, from two looks half a second apart."""
    settings = parse_settings(load_raw(config), str(config))
    watcher = Watcher(settings, instance_directory(settings))
    tail = JournalTail(journal_directory(settings), 200)
    before = watcher.read()
    time.sleep(0.5)
    tail.poll()
    console = Console(
        file=io.StringIO(), width=_COLUMNS, height=_ROWS, record=True, force_terminal=True, highlight=False
    )
    console.print(draw(watcher.read(), before, list(tail.payloads), _COLUMNS, _ROWS - 1))
    return console.export_svg(title="python -m tools monitor")


def photograph(page: Path, picture: Path, size: tuple[int, int]) -> None:
    """Have Chromium show a local page and write what it shows."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                *_CHROMIUM,
                f"--user-data-dir={profile}",
                f"--window-size={size[0]},{size[1]}",
                f"--screenshot={picture}",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )


if __name__ == "__main__":
    sys.exit(main())
