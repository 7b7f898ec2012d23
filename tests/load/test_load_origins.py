"""The same rows from every kind of origin."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.load.conftest import DATABASE, House
from treehouse.ingest import cdnow
from treehouse.ingest.reading import Reading
from treehouse.project.errors import TreehouseError

ROWS = [
    (f"e{i}", f"u{i % 7}", "open", datetime(2024, 2, 29, 10, 0, i % 60, 123000), i * 1000, i / 4)
    for i in range(100)
]
NAMES = ["event_id", "user_id", "event_name", "event_at", "duration_ms", "revenue_usd"]
TABLE = pa.table([list(column) for column in zip(*ROWS, strict=True)], names=NAMES)


def csv_bytes(delimiter: str = ",") -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.csv.WriteOptions(delimiter=delimiter)
    pa.csv.write_csv(TABLE, sink, options)
    return bytes(sink.getvalue())


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        pa.parquet.write_table(TABLE, path, row_group_size=30)
        return path
    text = csv_bytes("\t" if ".tsv" in path.name else ",").replace(b'"', b"")
    if path.suffix == ".gz":
        text = gzip.compress(text)
    if path.suffix == ".zst":
        text = pa.compress(text, "zstd", asbytes=True)
    path.write_bytes(text)
    return path


def check(house: House) -> None:
    found = house.rows("events", ", ".join(NAMES))
    expected = [(*row[:-1], Decimal(str(row[-1]))) for row in ROWS]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    "name",
    ["a.parquet", "a.csv", "a.csv.gz", "a.csv.zst", "a.tsv", "a.tsv.gz", "WITH space's.CSV"],
)
def test_every_format(house: House, name: str) -> None:
    path = write(house.folder / name)
    assert house.load("events", path).loaded == len(ROWS)
    check(house)
    assert house.load("events", path).duplicate == len(ROWS)


def test_windows_line_ends_byte_order_mark_and_quotes(house: House) -> None:
    path = house.folder / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf" + csv_bytes().replace(b"\n", b"\r\n"))
    assert house.load("events", path).loaded == len(ROWS)
    check(house)


def test_a_table(house: House) -> None:
    write(house.folder / "a.parquet")
    house.load("events", house.folder / "a.parquet")
    house.client.command(
        f"create table {DATABASE}.theirs engine = MergeTree order by () as select event_id as id, "
        "toLowCardinality(user_id) as user_id, event_name, "
        "toTimeZone(event_at, 'Asia/Kolkata') as ts, toNullable(duration_ms) as duration, "
        f"toFloat64(revenue_usd) as revenue, map('a', 'b') as properties, [1] as more "
        f"from {DATABASE}.events"
    )
    house.empty()
    report = house.load("events", f"table:{DATABASE}.theirs")
    assert (report.loaded, report.ignored) == (len(ROWS), ("more",))
    check(house)
    assert set(house.query(f"select properties['a'] from {DATABASE}.events")) == {("b",)}


@pytest.mark.parametrize("origin", ["folder", "folder/*.csv"])
def test_many_files_each_with_its_own_order_of_columns(house: House, origin: str) -> None:
    folder = house.folder / "folder"
    folder.mkdir()
    header = "event_id,user_id,event_name,event_at,duration_ms,revenue_usd"
    lines = csv_bytes().replace(b'"', b"").decode().splitlines()[1:]
    house.csv([header, *lines[:60]], "folder/a.csv")
    turned = [",".join(reversed(line.split(","))) for line in lines[40:]]
    house.csv([",".join(reversed(header.split(","))), *turned], "folder/b.csv")
    report = house.load("events", house.folder / origin)
    assert (report.rows, report.loaded, report.duplicate) == (120, 100, 20)
    check(house)


def test_parquet_types(house: House) -> None:
    """Whole floats, dates, times with and without zones, dictionaries, maps, unused nesting."""
    moment = datetime(2024, 1, 1, 10, 0, 0, 250000)
    table = pa.table(
        {
            "event_id": pa.array([1, 2], pa.int64()),
            "user_id": pa.array(["u", "v"]).dictionary_encode(),
            "event_name": pa.array(["a", None], pa.large_string()),
            "event_at": pa.array(
                [moment.replace(tzinfo=UTC)] * 2, pa.timestamp("us", "Asia/Tokyo")
            ),
            "duration_ms": pa.array([3.0, None]),
            "revenue_usd": pa.array([Decimal("11.77"), None], pa.decimal128(18, 2)),
            "properties": pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string())),
            "nested": pa.array([{"a": 1}, None]),
        }
    )
    pa.parquet.write_table(table, house.folder / "a.parquet")
    report = house.load("events", house.folder / "a.parquet")
    assert (report.loaded, report.quarantined) == (1, 1)
    assert house.reasons() == ["event_name is missing"]
    assert house.rows("events", "* except session_id") == [
        ("1", "u", "a", moment, 3, Decimal("11.77"), {"k": "v"})
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([date(1997, 1, 1)]), datetime(1997, 1, 1)),
        (pa.array([852076800]), datetime(1997, 1, 1)),
        (
            pa.array([datetime(1997, 1, 1, 0, 0, 1)], pa.timestamp("ns")),
            datetime(1997, 1, 1, 0, 0, 1),
        ),
        (pa.array(["19970101"]), datetime(1997, 1, 1)),
    ],
)
def test_parquet_times(house: House, values: pa.Array, expected: datetime) -> None:
    table = pa.table({"customer": ["c"], "date": values, "quantity": [1], "amount": [0.1 + 0.2]})
    pa.parquet.write_table(table, house.folder / "a.parquet")
    house.load("purchases", house.folder / "a.parquet")
    assert house.rows("purchases", "purchased_at, amount_usd") == [(expected, Decimal("0.3"))]


def test_a_format_may_be_given(house: House) -> None:
    path = write(house.folder / "a.csv").rename(house.folder / "export.txt")
    assert house.load("events", path, reading=Reading(format="csv")).loaded == len(ROWS)


def test_cdnow(house: House) -> None:
    report = cdnow.load_cdnow(house.client, house.settings)
    assert (report.rows, report.loaded) == (cdnow.ROWS, cdnow.ROWS)
    [row] = house.query(
        "select count(), uniqExact(purchase_id), uniqExact(customer_id), min(purchased_at), "
        f"max(purchased_at), countIf(amount_usd = 0) from {DATABASE}.purchases"
    )
    assert row == (69_659, 69_659, 23_570, datetime(1997, 1, 1), datetime(1998, 6, 30), 80)
    again = cdnow.load_cdnow(house.client, house.settings)
    assert (again.loaded, again.duplicate, again.quarantined) == (0, cdnow.ROWS, 0)


def test_cdnow_says_what_to_install(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdnow, "find_spec", lambda _: None)
    with pytest.raises(TreehouseError, match=r"pip install 'treehouse\[demo\]'"):
        cdnow.load_cdnow(house.client, house.settings)
