"""Files that people bring are read for what they hold, whatever they are called."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.conftest import Engine
from treehouse.ingest.sources import ensure_raw
from treehouse.platform.query_log.files import header, opened


@pytest.mark.parametrize("name", ["q{1,2}.csv", "a=b/q?.csv", "a=b/c.CSV.GZ"])
def test_a_name_means_nothing_but_the_file(engine: Engine, tmp_path: Path, name: str) -> None:
    ensure_raw(engine.client, engine.settings)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (path.parent / "q1.csv").write_text("a,b\n1,neighbour\n")
    text = b"a,b\n1,right\n"
    path.write_bytes(gzip.compress(text) if name.endswith("GZ") else text)
    assert header(path) == ["a", "b"]
    columns = {"a": "String", "b": "String"}
    with opened(engine.client, engine.settings, path, columns) as relation:
        assert engine.client.query(f"select * from {relation}").result_rows == [("1", "right")]
