"""A compiled detector that cannot be built, or not be used: it is named, and Python decides."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import native
from runtime.native import DETECTOR, NotNative, Part, build, load, load_extension
from settings import PROJECT
from shm import native_layout
from tests.detector.instance import Instance

PACKAGES = ("detector", "runtime", "events", "observability", "venues", "shm", "configuration")


def test_a_compiler_that_builds_nothing_is_named_and_python_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the C library's headers a compiler is there, and of no use."""
    if native.no_compiler():
        pytest.skip(native.no_compiler())
    compiler = tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\nexec {native.compiler()} -nostdinc "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))

    assert native.main() == 0

    written = capsys.readouterr().err
    assert f"{compiler} builds nothing here (install libc6-dev, or name another one in CC)" in written
    assert "the Python ones serve" in written


@pytest.fixture
def library(tmp_path: Path) -> Part:
    """The detector's, built beside the real one."""
    if native.no_compiler():
        pytest.skip(native.no_compiler())
    found = native.compiler()
    assert found is not None
    made = DETECTOR._replace(path=tmp_path / "_core.so")
    build(made, found)
    return made


def refusal(library: Part) -> str:
    with pytest.raises(NotNative) as error:
        load(library)
    return str(error.value)


def test_what_was_built_of_other_sources_is_refused(library: Part, tmp_path: Path) -> None:
    changed = tmp_path / "_words.h"
    changed.write_text("/* another one */\n")

    assert "was built from other sources" in refusal(library._replace(headers=(changed,)))


def test_what_was_built_for_another_machine_is_refused(library: Part, tmp_path: Path) -> None:
    content = bytearray(library.path.read_bytes()[: -native._SEAL_SIZE])
    content[18:20] = b"\xb7\x00"  # the ELF header's machine: aarch64
    foreign = tmp_path / "foreign.so"
    foreign.write_bytes(content + native._seal(bytes(content)))  # as it was built there

    assert "build it on this machine: python -m runtime.native" in refusal(library._replace(path=foreign))


@pytest.mark.parametrize("part", native.PARTS, ids=lambda part: part.name)
def test_a_file_that_was_cut_short_is_refused_before_it_is_loaded(part: Part, tmp_path: Path) -> None:
    """Loading it would end the process by a signal, without a line."""
    if not part.path.exists():
        pytest.skip(f"{part.path.name} is not built")
    content = part.path.read_bytes()
    for size in (0, 15, 16, 500, len(content) // 2, len(content) * 3 // 4, len(content) - 1):
        cut = tmp_path / part.path.name
        cut.write_bytes(content[:size])
        with pytest.raises(NotNative, match=r"is not as it was built; .*python -m runtime\.native"):
            (load_extension if part.is_extension else load)(part, cut)


def test_a_library_without_its_sources_is_refused(library: Part, tmp_path: Path) -> None:
    gone = library._replace(sources=(tmp_path / "_core.c",))

    assert "cannot be compared with its sources" in refusal(gone)


def test_another_layout_is_refused_by_the_field_that_differs(
    library: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = {**native_layout.LAYOUT, "Quote.bid_e8": 16}
    monkeypatch.setattr(native_layout, "LAYOUT", moved)

    assert refusal(library).endswith("another layout of shared memory: Quote.bid_e8 is 8 in it and 16 here")


def test_nothing_is_built_with_another_layout(library: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library that was there before stays."""
    before = library.path.read_bytes()
    monkeypatch.setattr(native_layout, "LAYOUT", {**native_layout.LAYOUT, "slot.body": 32})
    found = native.compiler()
    assert found is not None

    with pytest.raises(NotNative, match=r"slot\.body is 24 in it and 32 here"):
        build(library, found)

    assert library.path.read_bytes() == before
    assert list(library.path.parent.glob("*.so*")) == [library.path]


def test_what_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    wanted = native.no_compiler() or "python -m runtime.native"

    assert refusal(DETECTOR._replace(path=tmp_path / "_core.so")) == f"_core.so is not built: {wanted}"


def _spoil(path: Path) -> None:
    path.write_bytes(b"no library")


@pytest.mark.parametrize("make_unusable", [Path.unlink, _spoil], ids=["absent", "spoilt"])
def test_without_a_library_python_decides_and_one_line_says_so(
    make_unusable: Callable[[Path], None], library: Part, instance: Instance, tmp_path: Path
) -> None:
    if not instance.is_native:
        pytest.skip("nothing is asked for")
    project = tmp_path / "project"
    for name in PACKAGES:
        shutil.copytree(PROJECT / name, project / name)
    shutil.copy(PROJECT / "settings.py", project)
    shutil.copy(library.path, project / "detector/_core.so")
    make_unusable(project / "detector/_core.so")
    instance.feeds_are_up()
    instance.executor_says()

    with instance.detector(project=project):
        instance.publish(0, 99.9, 100.0)
        instance.publish(1, 100.2, 100.3)
        assert instance.next_signal().kind == 1
        events = instance.read_events()

    assert [event["part"] for event in events if event["event"] == "native_absent"] == ["detector"]
    assert instance.count("native") == 0
