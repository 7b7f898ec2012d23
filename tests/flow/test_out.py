"""`sql --out` writes what the engine writes, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import Cli

QUERY = "select number as id, concat('ü;\"', toString(number)) as name from numbers(3)"
TARGETS = (
    pytest.param("embedded", marks=pytest.mark.embedded),
    pytest.param("server", marks=pytest.mark.server),
)


@pytest.mark.parametrize("target", TARGETS)
def test_a_result_becomes_a_file(run_cli: Cli, tmp_path: Path, target: str) -> None:
    names = ['ü;"0', 'ü;"1', 'ü;"2']
    parquet, csv, lines = (tmp_path / name for name in ("a.parquet", "new/b.CSV", "c.txt"))
    told = run_cli("sql", QUERY, "--out", str(parquet), target=target)
    assert told.stdout == ""
    assert "bytes of Parquet" in told.stderr
    assert pq.read_table(parquet).to_pydict() == {"id": [0, 1, 2], "name": names}
    run_cli("sql", QUERY, "--out", str(csv), target=target)
    assert csv.read_text().splitlines()[:2] == ['"id","name"', '0,"ü;""0"']
    run_cli("sql", QUERY, "--format", "JSONEachRow", "--out", str(lines), target=target)
    assert [json.loads(line)["name"] for line in lines.read_text().splitlines()] == names


@pytest.mark.parametrize("target", TARGETS)
def test_a_query_that_fails_half_way_leaves_the_file_as_it_was(
    run_cli: Cli, tmp_path: Path, target: str
) -> None:
    path = tmp_path / "kept.csv"
    path.write_text("before")
    failing = "select number, throwIf(number = 3000000, 'half-way') from numbers(4000000)"
    done = run_cli("sql", failing, "--out", str(path), target=target, check=False)
    assert done.returncode == 2
    assert "half-way" in done.stderr
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.embedded
def test_a_name_that_says_no_format_is_told_what_to_type(run_cli: Cli, tmp_path: Path) -> None:
    done = run_cli("sql", QUERY, "--out", str(tmp_path / "scores"), check=False)
    assert done.returncode == 2
    assert "--format Parquet --out" in done.stderr
    assert not list(tmp_path.iterdir())
