"""The proofs of the compiled parts see a fault where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import native
from settings import PROJECT
from verification.native.mutants import MUTANTS, Mutant
from verification.native.project_copy import project_copy, replace_once, run_tests
from verification.native.sanitize import OVERRUN, sanitizing, taken_reports

ONE_TEST = ("tests/detector/test_native.py", "-k", "smallest_step")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_finds_its_place_in_the_source(mutant: Mutant) -> None:
    """So that a change of the C is not noticed only by who runs them all."""
    assert (PROJECT / mutant.file).read_text().count(mutant.before) == 1
    assert mutant.before != mutant.after


@pytest.mark.parametrize("source", ["", "x x"], ids=["nowhere", "twice"])
def test_a_fault_whose_place_is_not_certain_is_not_put_in(source: str, tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text(source)

    with pytest.raises(ValueError, match="mend the list"):
        replace_once(tmp_path, "a.c", "x", "y")

    assert (tmp_path / "a.c").read_text() == source


def test_an_overrun_in_c_is_reported_though_the_test_hides_standard_error() -> None:
    compiler = native.compiler()
    if compiler is None:
        pytest.skip(native.no_compiler())
    with project_copy() as project:
        try:
            environment = sanitizing(project.parent, compiler)
        except LookupError as error:
            pytest.skip(str(error))
        clean = run_tests(project, ONE_TEST, environment)
        assert (clean.returncode, taken_reports(project.parent)) == (0, []), clean.stdout
        replace_once(project, *OVERRUN)
        spoilt = run_tests(project, ONE_TEST, environment)
        reports = taken_reports(project.parent)

    assert spoilt.returncode != 0
    assert any("AddressSanitizer" in report for report in reports)
