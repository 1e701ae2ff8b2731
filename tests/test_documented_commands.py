"""Every command that README.md and the pages under docs/ show is typed once, as it stands there."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import PROJECT
from tests.instance import Instance, a_directory, write_config
from tests.waiting import DEADLINE_S

PAGES = sorted([PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")])
# What runs for hours, needs a venue, a key, a service manager or root, or is a test of its own: why it is not
# typed here. Anything else that a page shows is.
NOT_TYPED = {
    r"make (bench|endurance|conformance|differential|fuzz|torture)": "long",
    r"make (explore|crash|faults|proxy|campaign|sanitize|frames|mutants)": "long",
    r"make (soak|naked|run|test|check)": "long, or tests/test_makefile.py",
    r"make (-C /opt/tandem check|help)": "root, or shows itself",
    r"python supervisor\.py( --live| --clean)?$": "runs until it is stopped: tests/test_end_to_end.py",
    r"python supervisor\.py --config": "the same, or live",
    r"python -m simulator --(vest-port|fault)": "runs until it is stopped",
    r"python -m tools alerts( --test)?$": "needs a target: tests/monitoring/alerts",
    r"python -m tools doctor --config live.yaml": "needs keys",
}
ANSWERS = (0, 1)  # done, or bad news; 2 would be a command that cannot do its work


def commands() -> list[str]:
    """Each one once, in the order of the pages."""
    return list(dict.fromkeys(command for page in PAGES for command in _of_page(page.read_text())))


def _of_page(text: str) -> Iterator[str]:
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    for words in [*lines, *re.findall(r"`([^`\n]+)`", text)]:
        command = words.partition(" #")[0].partition(" | ")[0].partition(" > ")[0].strip()
        if re.match(r"(python (-m|supervisor\.py)|make) ", command):
            yield command


def is_typed(command: str) -> bool:
    return not any(re.match(pattern, command) for pattern in NOT_TYPED)


def as_typed(command: str, directory: Path, recording: Path) -> list[str]:
    """What is typed here: placeholders filled in, and the test's own configuration."""
    filled = command.replace("PAIR", "btc").replace("var/recordings/<run_id>", "DIR")
    words = [sys.executable if word == "python" else word for word in shlex.split(filled)]
    words = [str(recording) if word == "DIR" else word for word in words]
    if words[1:3] == ["-m", "tools"] and len(words) > 3 and words[3] != "--help":
        if "--config" in words:
            words[words.index("--config") + 1] = str(directory / "config.yaml")
        else:
            words[4:4] = ["--config", str(directory / "config.yaml")]
    if "supervisor.py" in words:
        words = [*words[: words.index("--check") + 1], "--config", str(directory / "config.yaml")]
    if "monitor" in words:
        words.append("--once")
    if "--out" in words:
        words[words.index("--out") + 1] = str(directory / "report")
    return words


def typed(words: list[str], *, ends_after_s: float | None = None) -> str:
    """What went wrong with one command, or ""."""
    process = subprocess.Popen(
        words, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        _, logged = process.communicate(timeout=ends_after_s or DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        _, logged = process.communicate(timeout=DEADLINE_S)
        if ends_after_s is None:
            return f"{shlex.join(words)}: did not end"
    reported = logged.decode(errors="replace")
    if (process.returncode not in ANSWERS and ends_after_s is None) or "Traceback" in reported:
        return f"{shlex.join(words)}: exit code {process.returncode}: {reported[-600:]}"
    return ""


@pytest.mark.timeout(3_600)  # forty commands, each a process of its own
def test_every_command_of_the_pages_works_as_written() -> None:
    shown = commands()
    assert len(shown) > 40
    assert len([command for command in shown if is_typed(command)]) > 20
    with a_directory() as directory:
        recordings = directory / "recordings"
        instance = Instance(write_config(directory))
        try:
            instance.wait_for("trade_opened", 600)
            config = ["--config", str(directory / "config.yaml")]
            record = [sys.executable, "-m", "tools", "record", *config, "--out", str(recordings)]
            wrong = [typed([*record, "--seconds", "8"])]
            recording = next(recordings.iterdir())
            waiting = [command for command in shown if is_typed(command)]
            waiting.sort(key=lambda command: "kill" in command)  # what ends trading comes last
            for command in waiting:
                words = as_typed(command, directory, recording)
                is_server = words[3:4] in (["metrics"], ["record"])
                wrong.append(typed(words, ends_after_s=10 if is_server else None))
                instance.take_waiting()
        finally:
            instance.process.send_signal(signal.SIGTERM)
            instance.finish()
        assert [item for item in wrong if item] == []


def test_what_is_not_typed_is_still_shown() -> None:
    """A reason for a command that no page shows any more is a reason too many."""
    shown = commands()
    unused = [pattern for pattern in NOT_TYPED if not any(re.match(pattern, command) for command in shown)]
    assert unused == []
