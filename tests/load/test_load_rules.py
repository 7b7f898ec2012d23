"""What is loaded, what is quarantined and why, what is refused."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.load.conftest import DATABASE, House
from treehouse.ingest import progress as watch
from treehouse.ingest.reading import Reading
from treehouse.ingest.sources import Column, Source
from treehouse.ingest.validate import classify_sql, staged_ddl
from treehouse.project.errors import TreehouseError

EVENTS = "event_id,user_id,event_name,event_at,session_id,duration_ms,revenue_usd,properties"
GOOD = "e1,u1,open,2024-02-29T10:00:00Z,s1,5,1.5,{}"
TIMES = {
    "2024-02-29": "2024-02-29 00:00:00.000",
    "19970101": "1997-01-01 00:00:00.000",
    "2024/02/29": "2024-02-29 00:00:00.000",
    "2024-02-29 10:00": "2024-02-29 10:00:00.000",
    "2024-02-29T10:00:00Z": "2024-02-29 10:00:00.000",
    "2024-02-29 10:00:00.123456 UTC": "2024-02-29 10:00:00.123",
    "2024-02-29T23:00:00.5-05:00": "2024-03-01 04:00:00.500",
    "2024-02-29T10:00:00+0530": "2024-02-29 04:30:00.000",
    " 2024-02-29 ": "2024-02-29 00:00:00.000",
    "1700000000": "2023-11-14 22:13:20.000",
    "1700000000.25": "2023-11-14 22:13:20.250",
    "999999999": "2001-09-09 01:46:39.000",
    "1700000000123": "2023-11-14 22:13:20.123",
    "1700000000123.0": "2023-11-14 22:13:20.123",
    "1.700000000123e+12": "2023-11-14 22:13:20.123",
    "1700000000123456": "2023-11-14 22:13:20.123",
    "1700000000123456789": "2023-11-14 22:13:20.123",
    "2024-02-29 10:00:00-14:00": "2024-03-01 00:00:00.000",
}
NOT_TIMES = [
    "2023-02-29",
    "20240230",
    "2024-02-30T10:00:00Z",
    "2024-13-01",
    "2024-01-01 24:00:00",
    "2024-01-01 25:00:00",
    "2024-01-01 10:60:00",
    "2024-01-01 10:00:60",
    "0000-00-00",
    "01/02/2024",
    "10",
    "2024",
    "202401",
    "Jan 5 2024",
    "170000000012",
    "17000000001234567",
    "1.7e+11",
    "2024-02-29T10:00:00+99:59",
    "2024-02-29T10:00:00+14:30",
    "2024-02-29T10:00:00+05:60",
    "-5",
    "nan",
    "yesterday",
]


def test_every_accepted_time(house: House) -> None:
    path = house.csv(
        ["event_id,user_id,event_name,event_at"]
        + [f'{i},u,open,"{text}"' for i, text in enumerate(TIMES)],
    )
    assert house.load("events", path).loaded == len(TIMES)
    loaded = dict(house.rows("events", "toInt32(event_id), toString(event_at)"))
    assert loaded == dict(enumerate(TIMES.values()))


def test_every_refused_time(house: House) -> None:
    path = house.csv(
        ["event_id,user_id,event_name,event_at"] + [f"e{text},u,open,{text}" for text in NOT_TIMES]
    )
    report = house.load("events", path)
    assert (report.loaded, report.quarantined) == (0, len(NOT_TIMES))
    assert house.reasons() == sorted(
        f"event_at '{text}' is not a time (ISO 8601, or s, ms, us or ns since 1970)"
        for text in NOT_TIMES
    )


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("user_id", "", "user_id is missing"),
        ("user_id", '"  "', "user_id is missing"),
        ("event_name", "", "event_name is missing"),
        ("event_at", "", "event_at is missing"),
        ("event_at", "1989-12-31", "event_at '1989-12-31' breaks the rule: event_at between "),
        ("event_at", "2200-01-01", "event_at '2200-01-01' breaks the rule: event_at between "),
        ("duration_ms", "-1", "duration_ms '-1' breaks the rule: duration_ms >= 0"),
        ("duration_ms", "1.5", "duration_ms '1.5' is not a whole number that fits Int64"),
        ("duration_ms", "9223372036854775808", "duration_ms '9223372036854775808' is not a whole"),
        ("duration_ms", "1e3", "duration_ms '1e3' is not a whole number that fits Int64"),
        ("revenue_usd", "abc", "revenue_usd 'abc' is not a number that fits Decimal(18, 9)"),
        ("revenue_usd", "nan", "revenue_usd 'nan' is not a number that fits Decimal(18, 9)"),
        ("revenue_usd", "9999999999999", "revenue_usd '9999999999999' is not a number that fits"),
        ("revenue_usd", '"1,5"', "revenue_usd '1,5' is not a number that fits Decimal(18, 9)"),
        ("properties", "[1]", "properties '[1]' is not a JSON object"),
        ("properties", "{", "properties '{' is not a JSON object"),
        (
            "properties",
            '"{""a"":1,""a"":2}"',
            """properties '{"a":1,"a":2}' is not a JSON object""",
        ),
        ("properties", '"{""a"":""\\ud83d""}"', """properties '{"a":"\\ud83d"}' is not a JSON"""),
        ("revenue_usd", "1.5.2", "revenue_usd '1.5.2' is not a number"),
        ("revenue_usd", "1.234.567", "revenue_usd '1.234.567' is not a number"),
        ("revenue_usd", "1..5", "revenue_usd '1..5' is not a number"),
        ("revenue_usd", ".1.2", "revenue_usd '.1.2' is not a number"),
        ("revenue_usd", ".", "revenue_usd '.' is not a number"),
        ("revenue_usd", "-", "revenue_usd '-' is not a number"),
        ("revenue_usd", "e5", "revenue_usd 'e5' is not a number"),
    ],
)
def test_each_reason(house: House, column: str, value: str, reason: str) -> None:
    names = EVENTS.split(",")
    bad = GOOD.replace("e1", "e2").split(",")
    bad[names.index(column)] = value
    report = house.load("events", house.csv([EVENTS, GOOD, ",".join(bad)]))
    assert (report.loaded, report.quarantined, report.duplicate) == (1, 1, 0)
    [(source, load_id, told, row)] = house.rows("quarantine", "source, load_id, reason, row")
    assert (source, load_id) == ("events", report.load_id)
    assert told.startswith(reason)
    said = next(csv.reader([value])) or [""]
    assert row == dict(zip(names, bad, strict=True)) | {column: said[0]}


def test_unknown_platform_and_other_sources(house: House) -> None:
    installs = house.csv(
        ["user_id,installed_at,platform", "u1,2024-01-01,ios", "u2,2024-01-01,c64"]
    )
    purchases = house.csv(
        ["customer,date,quantity,amount", "c1,20240101,0,5", "c1,20240101,1,-5", "c2,20240101,1,0"],
        "purchases.csv",
    )
    assert house.load("installs", installs).quarantined == 1
    assert house.load("purchases", purchases).quarantined == 2
    assert house.reasons() == [
        "amount_usd '-5' breaks the rule: amount_usd >= 0",
        "platform 'c64' breaks the rule: platform in ('android', 'ios', 'web')",
        "quantity '0' breaks the rule: quantity > 0",
    ]


def test_all_reasons_of_a_row_are_told_in_the_order_of_the_contract(house: House) -> None:
    house.load("events", house.csv([EVENTS, "e1,,open,never,s,-1,1,{}"]))
    assert house.reasons() == [
        "user_id is missing; "
        "event_at 'never' is not a time (ISO 8601, or s, ms, us or ns since 1970); "
        "duration_ms '-1' breaks the rule: duration_ms >= 0"
    ]


def test_bytes_that_are_not_utf8_are_quarantined(house: House) -> None:
    path = house.folder / "rows.csv"
    path.write_bytes(b"event_id,user_id,event_name,event_at\ne1,caf\xe9,open,2024-01-01\n")
    assert house.load("events", path).quarantined == 1
    assert house.reasons() == ["user_id 'caf\ufffd' is not text in UTF-8"]


def test_optional_values_get_defaults_and_floats_that_are_whole_pass(house: House) -> None:
    house.load(
        "events", house.csv([EVENTS, "e1,u1,open,2024-01-01,,,,", "e2,u1,x,2024-01-01,s,3.0,-2,"])
    )
    assert house.rows("events", "event_id, session_id, duration_ms, revenue_usd, properties") == [
        ("e1", "", 0, Decimal(0), {}),
        ("e2", "s", 3, Decimal(-2), {}),
    ]


def test_a_short_line_misses_its_last_columns(house: House) -> None:
    path = house.csv(["event_id,user_id,event_name,event_at", "e1,u1", "e2,u2,open,2024-01-01,,"])
    report = house.load("events", path)
    assert (report.loaded, report.quarantined) == (1, 1)
    assert house.reasons() == ["event_name is missing; event_at is missing"]


def test_columns_are_found_by_mapping_then_name_then_alias_in_any_case(house: House) -> None:
    path = house.csv(["ID,who,Event,event,TIME,extra", "e1,u1,open,shut,2024-01-01,1"])
    report = house.load(
        "events", path, reading=Reading(columns={"user_id": "who", "event_name": "event"})
    )
    assert house.rows("events", "event_id, user_id, event_name") == [("e1", "u1", "shut")]
    assert report.ignored == ("Event", "extra")


def test_missing_columns_are_named_with_what_was_found_and_expected(house: House) -> None:
    path = house.csv(["event_id,who,event_at", "e1,u1,2024-01-01"])
    with pytest.raises(TreehouseError) as caught:
        house.load("events", path)
    assert "lacks columns of events: user_id, event_name" in caught.value.what
    assert caught.value.value == "event_id, who, event_at"
    assert caught.value.expected == "user_id; event_name or name or event"
    assert caught.value.fix == "name what stands for it: --map <their column>=user_id"


@pytest.mark.parametrize("mapping", [{"user_id": "nobody"}, {"nothing": "who"}])
def test_a_mapping_of_unknown_columns_is_refused(house: House, mapping: dict[str, str]) -> None:
    path = house.csv(["event_id,who,event_name,event_at"])
    with pytest.raises(TreehouseError, match="mapping names a column that is not there"):
        house.load("events", path, reading=Reading(columns=mapping))


def test_what_is_not_there_or_not_readable_is_told(house: House) -> None:
    text = house.csv(["a,b", "1,2"], "rows.txt")
    (house.folder / "empty.csv").touch()
    house.csv(["event_id,event_id", "1,2"], "twice.csv")
    (house.folder / "no.parquet").write_text("not parquet")
    wrong: list[tuple[str, str | Path, str]] = [
        ("events", house.folder / "none.csv", "There is nothing to load there"),
        ("events", text, "The format of a file is not known"),
        ("events", house.folder / "empty.csv", "The file is empty"),
        ("events", house.folder / "twice.csv", "Two columns of the file have one name"),
        ("events", house.folder / "no.parquet", "The file is not Parquet"),
        ("events", "table:nowhere.nothing", "The table could not be read"),
        ("evnts", text, "There is no such source"),
    ]
    for source, origin, message in wrong:
        with pytest.raises(TreehouseError, match=message):
            house.load(source, origin)
        assert house.query("select count() from system.tables where database = {}") == [(5,)]


def test_a_file_that_breaks_off_loads_nothing(house: House) -> None:
    header = "event_id,user_id,event_name,event_at"
    text = "".join(f"e{i},u{i * 7919 % 1000},open,2024-01-01\n" for i in range(100_000))
    path = house.folder / "rows.csv.gz"
    path.write_bytes(gzip.compress(f"{header}\n{text}".encode())[:-100_000])
    with pytest.raises(TreehouseError, match="nothing was loaded") as caught:
        house.load("events", path)
    assert "Code:" in str(caught.value.value)
    assert house.rows("events") == []
    assert house.query("select count() from system.tables where database = {}") == [(5,)]


def test_a_quote_that_is_never_closed_is_one_quarantined_row(house: House) -> None:
    path = house.csv(["event_id,user_id,event_name,event_at", "e1,u1,open,2024-01-01", 'e2,"u'])
    report = house.load("events", path)
    assert (report.loaded, report.quarantined) == (1, 1)


def test_names_from_data_are_quoted(house: House) -> None:
    name = "we\"i`r'd\\ (c)"
    house.client.command(
        f"create table {DATABASE}.`o'dd``` (event_id String, user_id String, event_name String, "
        f"{'`' + name.replace(chr(92), chr(92) * 2).replace('`', chr(92) + '`') + '`'} DateTime) "
        "engine = MergeTree order by event_id as select 'e', 'u', 'n', '2024-01-01 00:00:00'"
    )
    report = house.load(
        "events", f"table:{DATABASE}.o'dd`", reading=Reading(columns={"event_at": name})
    )
    assert report.loaded == 1
    assert report.ignored == ()


def test_a_load_is_logged(house: House) -> None:
    path = house.csv([EVENTS + ",more", GOOD + ",1", GOOD + ",1", ",,,,,,,1"])
    began = datetime.now(UTC).replace(tzinfo=None)
    report = house.load("events", path)
    assert house.rows("load_log", "* except (started_at, finished_at)") == [
        (report.load_id, "events", str(path), 3, 1, 1, 1, 0, ["more"])
    ]
    [(started, finished)] = house.rows("load_log", "started_at, finished_at")
    assert began.timestamp() - 1 <= started.timestamp() <= finished.timestamp()


def test_progress_is_told(house: House) -> None:
    told: list[tuple[str, int | None, int | None]] = []
    path = house.csv([EVENTS, GOOD])
    house.load("events", path, progress=lambda *step: told.append(step))
    assert ("read", 0, 1) in told
    assert told[-1] == (f"insert into {DATABASE}.events", 1, 1)


def test_rows_are_told_while_the_engine_reads(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_SECONDS", 0.02)
    house.client.command(
        f"create view {DATABASE}.theirs as select toString(number) as id, 'u' as user_id, "
        "'n' as name, '2024-01-01' as ts from numbers(300000)"
    )
    told: list[tuple[str, int | None, int | None]] = []
    house.load("events", f"table:{DATABASE}.theirs", progress=lambda *step: told.append(step))
    counts = [done for phase, done, _ in told if phase == f"read {DATABASE}.theirs"]
    assert counts == sorted(counts)  # type: ignore[type-var]
    assert any(0 < (count or 0) <= 300_000 for count in counts)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("UInt8", ["0", "255"], ["256", "-1"]),
        ("Float64", ["1e3", "-0.5"], ["inf", "nan", "x"]),
        ("Date", ["2024-02-29"], ["2023-02-29", "29.2.2024"]),
        ("DateTime", ["2024-02-29 10:00:00"], ["2024-02-30 10:00:00"]),
        ("Bool", ["true", "0"], ["maybe"]),
        ("FixedString(2)", ["ab"], []),
        ("Nullable(Int32)", ["-5", "3.00"], ["3.01"]),
    ],
)
def test_contracts_may_use_other_types(
    house: House, kind: str, good: list[str], bad: list[str]
) -> None:
    source = Source(
        "s", DATABASE, "s", (Column("i", "String"), Column("at", kind)), "i", "at", ("i",)
    )
    staged = f"{DATABASE}.staged"
    house.client.command(staged_ddl(source, staged) + " settings allow_nullable_key = 1")
    values = ", ".join(f"('{text}')" for text in good + bad)
    relation = f"values('v String', {values})"
    house.client.command(classify_sql(source, staged, relation, {"i": "v", "at": "v"}))
    found = dict(house.query(f"select i, _bad from {staged}"))
    assert found == dict.fromkeys(good, 0) | dict.fromkeys(bad, 1)


def test_a_type_that_load_cannot_parse_is_refused() -> None:
    column = Column("i", "AggregateFunction(sum, Int8)")
    source = Source("s", "d", "s", (column,), "i", "i", ("i",))
    with pytest.raises(TreehouseError, match="a type that load can't parse"):
        classify_sql(source, "staged", "r", {"i": "i"})
