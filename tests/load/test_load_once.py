"""Each id once: within a load, against earlier ones, in any order, through any interruption."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from hypothesis import given
from hypothesis import strategies as st

from tests.load.conftest import DATABASE, House, some_examples
from treehouse.clickhouse.client import connect
from treehouse.clickhouse.turns import BusyError
from treehouse.ingest import merge, scratch
from treehouse.ingest.load import load
from treehouse.ingest.scratch import Scratch
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import ROOT

HEADER = "event_id,user_id,event_name,event_at,revenue_usd"
Event = tuple[str, str, int]

events = st.tuples(
    st.sampled_from(["", *"abcdefgh"]),  # ids: few, so that they meet; one is missing
    st.sampled_from(["u", "v"]),
    st.integers(0, 3),  # seconds
)


def write_events(house: House, name: str, rows: list[Event]) -> Path:
    lines = [f"{i},{u},open,2024-01-01T00:00:0{s},1" for i, u, s in rows]
    return house.csv([HEADER, *lines], name)


def winners(rows: list[Event]) -> dict[str, int]:
    """For each id the second of its earliest row."""
    first: dict[str, int] = {}
    for i, _, second in rows:
        if i:
            first[i] = min(second, first.get(i, second))
    return first


def unnamed(rows: list[Event]) -> Counter[tuple[str, int]]:
    """How often each row without an id is there."""
    return Counter((user, second) for i, user, second in rows if not i)


@some_examples
@given(st.lists(events, max_size=30), st.lists(events, max_size=30), st.randoms())
def test_events_are_loaded_once_in_any_order(
    house: House, first: list[Event], second: list[Event], shuffle: random.Random
) -> None:
    def run(first: list[Event], second: list[Event]) -> list[tuple[Any, ...]]:
        house.empty()
        one = house.load("events", write_events(house, "1.csv", first))
        two = house.load("events", write_events(house, "2.csv", second))
        new = winners(second).keys() - winners(first).keys()
        more = unnamed(second) - unnamed(first)
        assert one.loaded == len(winners(first)) + unnamed(first).total()
        assert two.loaded == len(new) + more.total()
        return house.rows("events")

    rows = run(first, second)
    expected = winners(second) | winners(first)
    assert {row[0]: row[3].second for row in rows if row[0] in "abcdefgh"} == expected
    derived = Counter(row[1:4] for row in rows if row[0] not in "abcdefgh")
    assert Counter({(u, at.second): n for (u, _, at), n in derived.items()}) == (
        unnamed(first) | unnamed(second)
    )
    assert run(shuffle.sample(first, len(first)), shuffle.sample(second, len(second))) == rows


purchases = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=12)


@some_examples
@given(purchases, purchases, st.booleans())
def test_equal_purchases_stay_distinct_and_are_loaded_once(
    house: House, first: list[tuple[str, int]], second: list[tuple[str, int]], many_passes: bool
) -> None:
    """Quantity 0 breaks the contract: the quarantine obeys the same rule."""
    house.empty()
    with pytest.MonkeyPatch.context() as patch:
        if many_passes:
            patch.setattr(merge, "_BYTES_PER_ROW", house.settings.memory_bytes // 3)
        for n, rows in enumerate((first, second, first, second)):
            lines = [f"{c},2024-01-01,{q},5" for c, q in rows]
            path = house.csv(["customer,date,quantity,amount", *lines], f"{n % 2}.csv")
            report = house.load("purchases", path)
            assert report.quarantined == sum(q == 0 for _, q in rows)
            assert report.loaded == 0 or n < 2
    expected = Counter(first) | Counter(second)
    assert Counter(house.rows("purchases", "customer_id, quantity")) == Counter(
        {row: n for row, n in expected.items() if row[1]}
    )
    assert Counter(house.rows("quarantine", "row['customer_id'], 0")) == Counter(
        {row: n for row, n in expected.items() if not row[1]}
    )
    ids = house.rows("purchases", "purchase_id") + house.rows("quarantine", "row_id")
    assert len(set(ids)) == sum(expected.values())


def test_an_event_without_id_is_the_same_however_it_is_written_and_split(house: House) -> None:
    header = "user_id,event_name,event_at,revenue_usd,properties"
    one = 'u,buy,2024-01-01T00:00:00Z,1.5,"{""a"": 1, ""b"": 2}"'
    same = '"u ",buy,1704067200000,1.50,"{""b"":2,""a"":1}"'
    other = one.replace("u,", "v,")
    assert house.load("events", house.csv([header, one, same, other])).loaded == 3
    rows = house.rows("events")
    assert len({row[0] for row in rows}) == 3
    (house.folder / "split").mkdir()
    house.csv([header, same], "split/1.csv")
    user, name, at, usd, properties = other.split(",", 4)
    turned = ",".join(reversed(header.split(",")))
    house.csv([turned, ",".join((properties, usd, at, name, user))], "split/2.csv")
    house.csv([header + ",more", one + ",x"], "split/3.csv")
    assert house.load("events", house.folder / "split").duplicate == 3
    assert house.rows("events") == rows


def test_purchases_with_ids_of_their_own_keep_them(house: House) -> None:
    path = house.csv(
        ["id,customer,date,quantity,amount", "p1,a,2024-01-01,1,5", "p1,a,2024-01-01,2,5"]
        + [",a,2024-01-01,1,5"] * 2
    )
    report = house.load("purchases", path)
    assert (report.loaded, report.duplicate) == (3, 1)
    assert house.rows("purchases", "purchase_id")[-1] == ("p1",)
    assert house.load("purchases", path).loaded == 0


def test_many_passes_do_what_one_does(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.client.command(
        f"create table {DATABASE}.theirs engine = MergeTree order by () as select "
        "toString(number % 30000) as id, 'u' as user_id, 'n' as name, "
        "if(number % 100 = 7, '', '2024-01-01') as ts from numbers(50000)"
    )
    results = []
    for passes in (1, 16):
        size = house.settings.memory_bytes * passes // 50_000
        monkeypatch.setattr(merge, "_BYTES_PER_ROW", max(1, size))
        told: Counter[str] = Counter()

        def count(phase: str, *_: int | None, told: Counter[str] = told) -> None:
            told[phase] += 1

        report = house.load("events", f"table:{DATABASE}.theirs", progress=count)
        assert told[f"compare with {DATABASE}.events"] >= passes - 1
        results.append(((report.loaded, report.quarantined), house.rows("events")))
        house.empty()
    assert results[0] == results[1]
    assert results[0][0] == (29_700, 500)


CHILD = """
import dataclasses, json, os, signal, sys
from treehouse.ingest import merge
from treehouse.clickhouse.client import connect
from treehouse.ingest.load import load
from treehouse.project.settings import Settings
settings = dataclasses.replace(Settings.from_environment(), raw_database={database!r})
path, deadly = sys.argv[1], int(sys.argv[2])
merge._BYTES_PER_ROW = settings.memory_bytes // 8000
steps = 0
def progress(*_):
    global steps
    steps += 1
    if steps == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
client = connect(settings)
print("began", flush=True)
report = load(client, settings, "events", path, progress=progress)
count = "select (select count() from {database}.events), (select uniqExact(event_id) from "
count += "{database}.events), (select count() from {database}.quarantine), (select count() from "
count += "{database}.load_log), (select count() from system.tables where database = {database!r})"
print(json.dumps([dataclasses.asdict(report), client.query(count).result_rows[0], steps]))
"""


def run_child(house: House, path: Path, *, step: int = 0, seconds: float | None = None) -> Any:
    """A load in a process of its own, killed at a step or after a time; its result if it ends."""
    home = house.folder / "home" if house.settings.target == "embedded" else house.settings.home
    own = {"TREEHOUSE_HOME": str(home), "TREEHOUSE_TARGET": house.settings.target}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD.format(database=DATABASE), str(path), str(step)],
        env=os.environ | own,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "began\n"
        if seconds is not None:
            time.sleep(seconds)
            child.kill()
        rest = child.stdout.read()
    return json.loads(rest) if rest else None


@pytest.mark.slow
def test_an_interrupted_load_is_run_again_without_doubling(house: House) -> None:
    """Killed at each step in turn, and at random times, over and over on the same data."""
    numbers = random.Random(7)
    lines = [
        f"e{numbers.randrange(60_000)},u{i % 50},open,{'2024-01-01' if i % 9 else 'never'},1"
        for i in range(80_000)
    ]
    ids = {line.split(",")[0] for line in lines if "never" not in line}
    bad = sum("never" in line for line in lines)
    path = house.csv([HEADER, *lines])
    interrupted = 0
    for step in range(2, 16, 3):
        interrupted += run_child(house, path, step=step) is None
    for _ in range(3):
        interrupted += run_child(house, path, seconds=numbers.uniform(0, 0.8)) is None
    assert interrupted >= 5
    report, counts, steps = run_child(house, path)
    assert steps > 10
    assert report["quarantined"] == bad
    assert report["loaded"] + report["duplicate"] == len(lines) - bad
    assert counts[:3] == [len(ids), len(ids), bad]
    assert counts[4] == 5
    again, counts, _ = run_child(house, path)
    assert (again["loaded"], again["interrupted"]) == (0, [])
    assert counts[:3] == [len(ids), len(ids), bad]


def test_what_an_interrupted_load_left_is_dropped_and_told(house: House) -> None:
    dead = Scratch(DATABASE, "events", "20200101T000000_dead")
    done = Scratch(DATABASE, "events", "20200101T000000_done")
    other = Scratch(DATABASE, "installs", "20200101T000000_other")
    for left in (dead, done, other):
        house.client.command(f"create table {left.table('staged')} (a Int8) engine = Memory")
    house.client.command(f"insert into {DATABASE}.load_log (load_id) values ('{done.load_id}')")
    path = house.csv([HEADER, "e1,u1,open,2024-01-01,1"])
    house.client.command(f"rename table {other.table('staged')} to {DATABASE}.kept")
    report = house.load("events", path)
    assert report.interrupted == (dead.load_id,)
    house.client.command(f"rename table {DATABASE}.kept to {other.table('staged')}")
    assert house.query(
        "select name from system.tables where database = {} and startsWith(name, '_load')"
    ) == [(other.prefix + "staged",)]


def test_a_second_load_is_refused_and_no_row_is_there_twice(house: House) -> None:
    """It begins while the first one reads; of another source it goes on."""
    path = house.csv([HEADER, *(f"e{i},u1,open,2024-01-01,1" for i in range(100))])
    installs = house.csv(["user_id,installed_at,platform", "u1,2024-01-01,ios"], "installs.csv")
    other = connect(house.settings)
    told: list[str] = []

    def meanwhile(*_: Any) -> None:
        if told:
            return
        told.append("")
        with pytest.raises(BusyError) as refused:
            load(other, house.settings, "events", str(path))
        told[0] = str(refused.value)
        assert load(other, house.settings, "installs", str(installs)).loaded == 1

    assert house.load("events", path, progress=meanwhile).loaded == 100
    other.close()
    assert f"process {os.getpid()}" in told[0]
    assert house.query(f"select count(), uniqExact(event_id) from {DATABASE}.events") == [
        (100, 100)
    ]


def test_one_load_of_a_source_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "PATIENCE_SECONDS", 0.2)
    alive = Scratch(DATABASE, "events", "20200101T000000_alive")
    house.client.command(f"create table {alive.table('staged')} (a Int8) engine = Memory")
    path = house.csv([HEADER, "e1,u1,open,2024-01-01,1"])
    other = connect(house.settings)
    slow = (
        f"select sleepEachRow(0.1), (select count() from {alive.table('staged')}) from numbers(25)"
    )
    busy = threading.Thread(
        target=other.query, args=(slow,), kwargs={"settings": {"max_block_size": 1}}
    )
    busy.start()
    try:
        time.sleep(0.3)
        with pytest.raises(TreehouseError, match="Another load of events is running") as caught:
            house.load("events", path)
        assert caught.value.value == "load 20200101T000000_alive"
    finally:
        busy.join()
        other.close()
    assert house.load("events", path).interrupted == (alive.load_id,)


def test_a_load_whose_view_fails_can_be_run_again(house: House) -> None:
    path = house.csv([HEADER, *(f"e{i},u1,open,2024-01-01,1" for i in range(10))])
    house.client.command(
        f"create materialized view {DATABASE}.broken engine = MergeTree order by () as "
        f"select throwIf(user_id = 'u1') as a from {DATABASE}.events"
    )
    with pytest.raises(ClickHouseError):
        house.load("events", path)
    house.client.command(f"drop table {DATABASE}.broken")
    report = house.load("events", path)
    assert len(report.interrupted) == 1
    assert house.query(f"select count(), uniqExact(event_id) from {DATABASE}.events") == [(10, 10)]
