"""Mutation testing itself: what is made, what is caught, and that its list names what is there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.mutation.mutants import Target, mutants_of, read_targets, sample
from tests.mutation.python import python_mutants
from tests.mutation.run import BaselineError, try_all
from tests.mutation.sql import sql_mutants
from tests.support.some import some
from treehouse.project.settings import ROOT

pytestmark = pytest.mark.slow

_SOURCE = "def is_large(x):\n    return x >= 10\n"
_TESTS = {
    "strong": "assert [is_large(x) for x in (9, 10, 11)] == [False, True, True]",
    "weak": "assert is_large(99)",
    "wrong": "assert is_large(9)",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one function, with a test that tells and one that does not."""
    (tmp_path / "large.py").write_text(_SOURCE)
    for name, line in _TESTS.items():
        text = f"from large import is_large\n\n\ndef test_it():\n    {line}\n"
        (tmp_path / f"test_{name}.py").write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def target(name: str) -> Target:
    return Target(name, ("large.py",), (f"test_{name}.py",), {})


def test_a_strong_test_catches_all_and_a_weak_one_does_not(project: Path) -> None:
    results = {
        name: try_all(project, list(mutants_of(target(name), project)), 2)
        for name in ("strong", "weak")
    }
    assert len(results["strong"]) >= 3
    assert all(result.is_caught for result in some(results["strong"]))
    missed = {result.mutant.now.strip() for result in results["weak"] if not result.is_caught}
    assert missed == {"return x > 10", "return x >= 11", "return x >= 9"}
    assert (project / "large.py").read_text() == _SOURCE


def test_tests_that_fail_by_themselves_are_told(project: Path) -> None:
    with pytest.raises(BaselineError, match="test_wrong"):
        try_all(project, list(mutants_of(target("wrong"), project)), 1)


def test_equivalent_mutants_are_left_out(project: Path) -> None:
    known = Target("strong", ("large.py",), (), {"large.py: return x > 10": "a trial"})
    assert "    return x > 10" not in [m.now for m in mutants_of(known, project)]


def test_splits_and_extremes_are_exchanged() -> None:
    found = set(python_mutants('a = max(data.rows("calibration"))\n'))
    assert found == {
        'a = max(data.rows("test"))\n',
        'a = min(data.rows("calibration"))\n',
    }


def test_what_only_checks_is_no_error() -> None:
    assert not list(python_mutants("a = zip(b, c, strict=True), KFold(random_state=0)\n"))
    assert not list(python_mutants("if TYPE_CHECKING:\n    def f(a, *, b): ...\n"))


def test_what_is_no_program_is_not_tried() -> None:
    assert not list(python_mutants("if a := b:\n    pass\n"))


def test_sql_keeps_its_jinja_and_comments() -> None:
    sql = "-- a <= b\n{% if x < 1 %}{% endif %}select sum(x) from t where d <= 3 and b\n"
    assert set(sql_mutants(sql)) == {
        sql.replace("sum(", "max("),
        sql.replace("d <=", "d <"),
        sql.replace("d <= 3", "d <= 4"),
        sql.replace("and b", "or b"),
    }


def test_a_sample_is_the_same_for_a_seed() -> None:
    one = [found for found in read_targets() if found.name == "ltv"]
    first, again, other = (
        [(m.file, m.line, m.now) for m in sample(one, ROOT, 20, seed)] for seed in (1, 1, 2)
    )
    assert len(first) == 20
    assert first == again != other


def test_every_named_file_is_there() -> None:
    for found in read_targets():
        assert all((ROOT / name).is_file() for name in some(found.files)), found.name
        tests = [name for name in found.tests if name.startswith("tests/")]
        assert tests
        assert all((ROOT / name.split("::")[0]).is_file() for name in some(tests)), found.name
        assert next(mutants_of(found, ROOT)), found.name
