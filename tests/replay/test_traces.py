"""Traces as people have them, and what is wrong with some."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from tests.conftest import Cli, Engine
from tests.support.tables import write_table
from treehouse.platform.replay.traces import read_cache_trace, read_tiering_trace
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

_CACHE = "time,object,size\n1,a,10\n2,b,20\n2.5,a,10\n4,a,11\n"
_TIERING = "time,partition,operation,size\n0,p,write,100\n10,p,read,5\n20,q,W,7\n30,p,R,120\n"


def _file(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


def test_a_trace_is_read_on_either_engine(engine: Engine, tmp_path: Path) -> None:
    engine.client.command(f"create database if not exists {engine.settings.raw_database}")
    trace = read_cache_trace(engine.client, engine.settings, _file(tmp_path, _CACHE))
    assert trace.time.tolist() == [1, 2, 2.5, 4]
    assert trace.size.tolist() == [10, 20, 10, 11]
    assert trace.object[0] == trace.object[2] == trace.object[3] != trace.object[1]
    assert trace.entry[0] == trace.entry[2] != trace.entry[3]  # of another size: another entry
    assert trace.distinct_bytes == 41
    assert trace.cost.tolist() == [1] * 4


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_formats_and_other_names_of_the_columns(
    client: Client, settings: Settings, tmp_path: Path, name: str
) -> None:
    times = [datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 1, 500_000)]
    table = pa.table({
        "Timestamp": times, "obj_id": [7, 8], "obj_size": [1, 2], "cost": [0.5, 0.25],
        "version": ["x", "y"], "note": ["", "a,b"],
    })  # fmt: skip
    path = write_table(table, tmp_path / name)
    trace = read_cache_trace(client, settings, path)
    assert np.diff(trace.time).tolist() == [1.5]
    assert trace.cost.tolist() == [0.5, 0.25]
    assert len(set(trace.entry.tolist())) == 2


def test_what_a_partition_holds_is_the_largest_so_far_unless_the_trace_says_it(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    trace = read_tiering_trace(client, settings, _file(tmp_path, _TIERING))
    assert trace.is_write.tolist() == [True, False, True, False]
    assert trace.stored.tolist() == [100, 100, 7, 120]
    said = "time,block,op,bytes,stored_bytes\n0,p,write,100,500\n1,p,read,5,500\n"
    assert read_tiering_trace(client, settings, _file(tmp_path, said)).stored.tolist() == [500, 500]


def test_partitions_are_in_the_order_of_their_names_and_have_tables(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    text = "time,partition,operation,size\n0,b.t.2,w,1\n1,a,w,1\n2,b.t.1,w,1\n3,b.t.2,r,1\n"
    trace = read_tiering_trace(client, settings, _file(tmp_path, text))
    assert trace.partition.tolist() == [2, 0, 1, 2]
    assert trace.table[0] != trace.table[1] == trace.table[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,object\n1,a\n", "The trace has no column size"),
        ("time,object,size\n", "The trace is empty"),
        ("time,object,size\n2,a,1\n1,b,1\n", "not in the order of time"),
        ("time,object,size\n1,a,-1\n", "A size of the trace is not one"),
        ("time,object,size\n1,a,big\n", "A size of the trace is not one"),
        ("time,object,size\n1,a,nan\n", "A size of the trace is not one"),
        ("time,object,size\nsoon,a,1\n", "A time of the trace is not one"),
        ("time,object,size,cost\n1,a,1,-2\n", "A cost of the trace is not one"),
        ("", "The file is empty"),
    ],
)
def test_a_bad_cache_trace_is_refused(
    client: Client, settings: Settings, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(TreehouseError, match=message):
        read_cache_trace(client, settings, _file(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_TIERING.replace("read", "look"), "An? operation of the trace is not one"),
        (_TIERING.replace("operation", "what"), "The trace has no column operation"),
    ],
)
def test_a_bad_tiering_trace_is_refused(
    client: Client, settings: Settings, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(TreehouseError, match=message):
        read_tiering_trace(client, settings, _file(tmp_path, text))


def test_the_first_bad_request_is_named(client: Client, settings: Settings, tmp_path: Path) -> None:
    path = _file(tmp_path, "time,object,size\n1,a,1\n5,b,1\n3,c,1\n")
    with pytest.raises(TreehouseError) as error:
        read_cache_trace(client, settings, path)
    assert error.value.value == "request 3 is 2 s before request 2"


def test_without_a_file_or_with_one_of_no_known_kind(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(TreehouseError, match="no such file"):
        read_cache_trace(client, settings, tmp_path / "none.csv")
    with pytest.raises(TreehouseError, match="format of a file is not known"):
        read_cache_trace(client, settings, _file(tmp_path, _CACHE, "trace.doc"))
    elsewhere = Settings(database="treehouse_nowhere")
    with pytest.raises(TreehouseError, match="no collected trace") as error:
        read_cache_trace(client, elsewhere, None)
    assert error.value.fix
    assert "workload run" in error.value.fix


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("cache", "time,object,size\n" + "".join(f"{i},o{i % 3},{i % 3}\n" for i in range(40))),
        ("tiering", "time,block,op,size\n" + "".join(
            f"{i * 3600},b{i % 3},{'WR'[i % 2]},{10**8}\n" for i in range(60)
        )),
    ],
)  # fmt: skip
def test_a_file_is_replayed_while_others_hold_the_engine_and_without_a_home(
    run_cli: Cli, client: Client, settings: Settings, tmp_path: Path, command: str, text: str
) -> None:
    path = _file(tmp_path, text)
    assert client.command("select 1") == 1  # this process holds the home folder
    held = run_cli("replay", command, "--trace", str(path), "--json", home=settings.home)
    nowhere = tmp_path / "no" / "home"
    found = run_cli("replay", command, "--trace", str(path), "--json", home=nowhere)
    assert held.stdout == found.stdout
    assert json.loads(found.stdout)["requests"] == text.count("\n") - 1
    assert not nowhere.parent.exists()


def test_a_wrong_file_is_told_without_a_home(run_cli: Cli, tmp_path: Path) -> None:
    path = _file(tmp_path, "time,object,size\n2,a,1\n1,b,1\n")
    done = run_cli("replay", "cache", "--trace", str(path), home=tmp_path / "home", check=False)
    assert done.returncode == 2
    assert "not in the order of time" in done.stderr
    assert not (tmp_path / "home").exists()
