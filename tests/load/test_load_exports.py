"""Exports as trackers, spreadsheets and databases write them: JSON, marks, zones, mappings."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.load.conftest import DATABASE, House
from treehouse.ingest.reading import Choice, Reading, Sql
from treehouse.project.errors import TreehouseError

EVENT = {"id": "e1", "event": "open", "user": {"id": "u1"}, "ts": "2024-01-01", "properties": {}}
BY_USER = Reading(columns={"user_id": "user.id"})


def jsonl(house: House, *rows: Any, name: str = "a.jsonl") -> Path:
    path = house.folder / name
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def test_json_lines_nested_and_broken(house: House) -> None:
    nested = {"level": 3, "item": {"sku": 'x"y', "tags": ["a", {"b": 1}]}, "gone": None, "é.f": 1.5}
    rows = [
        "no json",
        "",
        EVENT | {"properties": nested, "context": {"os": "ios"}},
        EVENT | {"id": "e2", "user": {"id": "u2", "name": "n"}, "properties": "none"},
        '{"id": "e3", "id": "e4"}',
        EVENT | {"id": "e5", "user": "u5"},
    ]
    path = jsonl(house, *rows)
    path.with_suffix(".ndjson").write_bytes(gzip.compress(path.read_bytes()))
    report = house.load("events", path.with_suffix(".ndjson"), reading=BY_USER)
    assert (report.rows, report.loaded) == (5, 1)
    assert report.ignored == ("context.os", "user.name", "context")
    assert report.reasons == {
        "line.unreadable": 2, "properties.unreadable": 1, "user_id.missing": 1
    }  # fmt: skip
    assert house.rows("events", "event_id, user_id, properties") == [
        ("e1", "u1", {"level": "3", "item.sku": 'x"y', "item.tags": '["a",{"b":1}]', "é.f": "1.5"})
    ]
    assert (
        "the line is not a JSON object of whole characters that names each key once: 'no json'",
    ) in house.rows("quarantine", "reason")


def test_a_json_array(house: House) -> None:
    path = house.folder / "a.json"
    path.write_text(json.dumps([EVENT, EVENT | {"id": "e2", "ts": 1700000000123}], indent=2))
    assert house.load("events", path, reading=BY_USER).loaded == 2
    assert house.rows("events", "event_id, user_id, toString(event_at)") == [
        ("e1", "u1", "2024-01-01 00:00:00.000"),
        ("e2", "u1", "2023-11-14 22:13:20.123"),
    ]


def test_json_without_a_needed_key_says_what_is_there(house: House) -> None:
    with pytest.raises(TreehouseError, match="lacks columns of events: user_id") as caught:
        house.load("events", jsonl(house, EVENT))
    assert "user.id" in str(caught.value.value)


@pytest.mark.parametrize(
    ("text", "delimiter", "said"),
    [
        ("id;user_id;event;ts;revenue\ne;u;open;2024-01-01;1\n", "", "separated by ';'"),
        ("id\tuser_id\tevent\tts\trevenue\ne\tu\topen\t2024-01-01\t1\n", "", ""),
        (
            '"id"\t"user_id"\t"event"\t"ts"\t"revenue"\n"e"\t"u"\t"open"\t"2024-01-01"\t"1"\n',
            "",
            "",
        ),
        ("id|user_id|event|ts|revenue\ne|u|open|2024-01-01|1\n", "", "separated by '|'"),
        ("sep=;\r\nid;user_id;event;ts;revenue\r\ne;u;open;2024-01-01;1\r\n", "", ""),
        ('id,user_id,event,ts,revenue,"a;b;c;d;e;f;g"\ne,u,open,2024-01-01,1,\n', "", ""),
        ("id~user_id~event~ts~revenue\ne~u~open~2024-01-01~1\n", "~", ""),
    ],
    ids=["semicolon", "tab", "quoted tab", "pipe", "hint", "quoted", "given"],
)
def test_delimiters(house: House, text: str, delimiter: str, said: str) -> None:
    (house.folder / "a.csv").write_bytes(text.encode())
    report = house.load("events", house.folder / "a.csv", reading=Reading(delimiter=delimiter))
    assert said in "".join(report.said)
    assert bool(said) == bool(report.said)
    assert house.rows("events", "event_id, user_id, revenue_usd") == [("e", "u", Decimal(1))]


NUMBERS = {
    "1.234,50": (",", ".", "1234.5"),
    "-1.234.567,5": (",", ".", "-1234567.5"),
    "1234,5": (",", ".", "1234.5"),
    "1,234.50": (".", ",", "1234.5"),
    "1 234,5": (",", " ", "1234.5"),
    "1\u202f234,5": (",", " ", "1234.5"),
    "1\u2019234.5": (".", "'", "1234.5"),
    "1.234": (",", ".", "1234"),
    "1.23": (",", ".", None),
    "1,234.5": (",", ".", None),
    "12.34.567": (",", ".", None),
    "1,5": (".", ",", None),
}


@pytest.mark.parametrize("text", NUMBERS)
def test_marks_of_numbers(house: House, text: str) -> None:
    decimal, thousands, value = NUMBERS[text]
    path = house.csv([f'id,user_id,event,ts,revenue\ne,u,open,2024-01-01,"{text}"'])
    house.load("events", path, reading=Reading(decimal=decimal, thousands=thousands))
    assert house.rows("events", "toString(revenue_usd)") == ([(value,)] if value else [])
    assert len(house.reasons()) == (value is None)


TIMES = [
    ("%d.%m.%Y %H:%M", "29.02.2024 10:11", "2024-02-29 09:11:00.000"),
    ("%d.%m.%Y %H:%M", "30.02.2024 10:11", None),
    ("%d.%m.%Y %H:%M", "2024-02-29 10:11", None),
    ("%m/%d/%Y %I:%M:%S %p", "02/29/2024 01:05:06 PM", "2024-02-29 12:05:06.000"),
    ("%-m/%-d/%Y", "2/9/2024", "2024-02-08 23:00:00.000"),
    ("%d %B %Y", "29 February 2024", "2024-02-28 23:00:00.000"),
    ("M/d/yy h:mm a", "2/9/24 1:05 PM", "2024-02-09 12:05:00.000"),
    ("", "2024-07-01 12:00", "2024-07-01 10:00:00.000"),
    ("", "2024-07-01T12:00:00Z", "2024-07-01 12:00:00.000"),
    ("", "2024-07-01 12:00:00+05:00", "2024-07-01 07:00:00.000"),
    ("", "1700000000", "2023-11-14 22:13:20.000"),
]


def test_formats_and_zones_of_times(house: House) -> None:
    for i, (date_format, text, expected) in enumerate(TIMES):
        path = house.csv([f"id,user_id,event,ts\ne{i},u,open,{text}"])
        reading = Reading(date_format=date_format, time_zone="Europe/Berlin")
        house.load("events", path, reading=reading)
        found = house.query(
            f"select toString(event_at) from {DATABASE}.events where event_id = 'e{i}'"
        )
        assert found == ([(expected,)] if expected else []), text
    assert f"event_at '30.02.2024 10:11' is not a time like {TIMES[1][0]}" in house.reasons()


def test_times_that_are_times_need_no_zone_and_no_format(house: House) -> None:
    """A clock's time in a Parquet file is of the zone that is given; a moment is a moment."""
    clock = datetime(2024, 7, 1, 12)
    path = house.folder / "a.parquet"
    reading = Reading(time_zone="Europe/Berlin", columns={"event_at": "at"})
    for i, at in enumerate((clock, clock.replace(tzinfo=UTC))):
        rows = {"id": [f"e{i}"], "user_id": ["u"], "event": ["open"], "at": [at]}
        pa.parquet.write_table(pa.table(rows), path)
        house.load("events", path, reading=reading)
    house.client.command(
        f"create table {DATABASE}.theirs engine = MergeTree order by () as "
        "select 'e2' as id, 'u' as user_id, 'open' as event, "
        "toDateTime('2024-07-01 12:00:00', 'America/New_York') as at"
    )
    dated = Reading(date_format="%d.%m.%Y", columns={"event_at": "at"})
    house.load("events", f"table:{DATABASE}.theirs", reading=dated)
    assert house.rows("events", "event_id, toHour(event_at)") == [
        ("e0", 10),
        ("e1", 12),
        ("e2", 16),
    ]


def test_a_mapping_takes_the_first_value_or_computes_it(house: House) -> None:
    columns: dict[str, Choice] = {
        "user_id": ("user", "device", "nobody"),
        "event_name": Sql("concat(category, '.', action)"),
        "duration_ms": Sql("toFloat64OrNull(seconds) * 1000"),
        "event_at": "when",
    }
    lines = ["user,device,category,action,seconds,when,more", "u,d,a,b,1.5,2024-01-01,x"]
    path = house.csv([*lines, " ,d,a,c,,2024-01-01,x"])
    report = house.load("events", path, reading=Reading(columns=columns))
    assert report.ignored == ("more",)
    assert house.rows("events", "user_id, event_name, duration_ms") == [
        ("d", "a.c", 0), ("u", "a.b", 1500)
    ]  # fmt: skip


def test_several_origins_are_one_load(house: House) -> None:
    a = house.csv(["user_id,event,ts", "u,open,2024-01-01"], "a.csv")
    b = house.csv(["user_id;event;ts", "u;open;2024-01-01"], "b.csv")
    report = house.load("events", [str(a), str(b), str(a)])
    assert (report.rows, report.loaded) == (2, 2)
    assert house.rows("load_log", "origin") == [(f"{a}, {b}, {a}",)]


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (Reading(time_zone="Berlin"), "Unknown time zone"),
        (Reading(date_format="%Q"), "does not take this date format"),
    ],
)
def test_what_the_engine_does_not_know_is_refused(
    house: House, reading: Reading, message: str
) -> None:
    with pytest.raises(TreehouseError, match=message):
        house.load("events", house.csv(["user_id,event,ts"]), reading=reading)
