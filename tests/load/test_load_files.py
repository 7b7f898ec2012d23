"""What is in a file is what is loaded, whatever the file is called and however it is written."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.load.conftest import House
from treehouse.ingest.files import files
from treehouse.project.errors import TreehouseError

HEADER = "event_id,user_id,event_name,event_at,revenue_usd"
MOMENT = datetime(2024, 2, 29, 10, 11, 12, tzinfo=UTC)


def parquet(path: Path, **columns: list[object]) -> Path:
    rows = {"event_id": ["h"], "user_id": ["u"], "event_name": ["in app"], "event_at": [MOMENT]}
    path.parent.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(pa.table(rows | columns), path)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "event_at=2023-01-01/a.parquet",
        "event_name=other/a.parquet",
        "events{1,2}.parquet",
        "q?.parquet",
        "q*.parquet",
        "q[1].parquet",
        "inner.zip :: a.parquet",
    ],
)
def test_a_name_means_nothing_but_the_file(house: House, name: str) -> None:
    """Neither do folders called column=value replace columns, nor do patterns find neighbours."""
    parquet(house.folder / "q1.parquet", event_id=["neighbour"])
    path = parquet(house.folder / name)
    assert house.load("events", path).loaded == 1
    assert house.rows("events", "event_id, event_name, toString(event_at)") == [
        ("h", "in app", "2024-02-29 10:11:12.000")
    ]


def test_a_folder_is_all_files_below_and_a_pattern_those_that_match(house: House) -> None:
    for i, name in enumerate(["a=1/x.parquet", "a=2/y.parquet", "z.parquet", "_made/s.parquet"]):
        parquet(house.folder / "all" / name, event_id=[f"e{i}"])
    (house.folder / "all" / ".hidden").touch()
    (house.folder / "all" / "w.parquet").symlink_to(house.folder / "all" / "z.parquet")
    assert house.load("events", f"{house.folder}/all/a=*/*.parquet").rows == 2
    assert house.load("events", house.folder / "all").rows == 3
    assert house.rows("events", "event_id") == [("e0",), ("e1",), ("e2",)]


def test_only_files_are_loaded(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "empty").mkdir()
    for origin in (tmp_path / "pipe.csv", "/dev/null", f"{tmp_path}/p*.csv"):
        with pytest.raises(TreehouseError, match="not a file that can be read more than once"):
            files(str(origin))
    for origin in (tmp_path / "empty", f"{tmp_path}/e*", tmp_path / "none{1,2}.csv"):
        with pytest.raises(TreehouseError, match="There is nothing to load there"):
            files(str(origin))


@pytest.mark.parametrize(
    ("name", "is_packed"), [("X.CSV.GZ", True), ("plain.csv.gz", False), ("packed.csv", True)]
)
def test_a_file_is_unpacked_by_its_content(house: House, name: str, is_packed: bool) -> None:
    text = f"{HEADER}\ne1,u,open,2024-01-01,1\n".encode()
    (house.folder / name).write_bytes(gzip.compress(text) if is_packed else text)
    assert house.load("events", house.folder / name).loaded == 1


def test_nested_parquet_columns_are_properties(house: House) -> None:
    nested = {"a": "1", "b": "x", "c": {"d": 2.5, "e": None}, "f": [1, 2]}
    path = parquet(house.folder / "a.parquet", properties=[nested], nothing=[None])
    report = house.load("events", path)
    assert report.ignored == ("nothing",)
    assert house.rows("events", "properties") == [
        ({"a": "1", "b": "x", "c.d": "2.5", "f": '["1","2"]'},)
    ]


def test_a_parquet_list_of_pairs_is_no_object(house: House) -> None:
    house.load("events", parquet(house.folder / "a.parquet", properties=[[1, 2]]))
    [reason] = house.reasons()
    assert reason.startswith("""properties '["1","2"]' is not a JSON object""")


def test_a_name_spelled_just_so_is_preferred(house: House) -> None:
    house.load(
        "events",
        house.csv(
            ["event_id,user_id,User_ID,event_name,event_at", "e,right,wrong,open,2024-01-01"]
        ),
    )
    assert house.rows("events", "user_id") == [("right",)]


def test_names_that_differ_in_case_alone_are_a_conflict(house: House) -> None:
    path = house.csv(["event_id,USER_ID,User_ID,event_name,event_at"])
    with pytest.raises(TreehouseError, match="Several columns could be user_id") as caught:
        house.load("events", path)
    assert caught.value.value == "USER_ID, User_ID"
    assert caught.value.fix == "say which: --map USER_ID=user_id"


def test_two_parquet_columns_of_one_name_are_a_conflict(house: House) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["user_id", "user_id"])
    pa.parquet.write_table(table, house.folder / "a.parquet")
    with pytest.raises(TreehouseError, match="Two columns of the file have one name"):
        house.load("events", house.folder / "a.parquet")


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ('event_id,user_id,event_name,event_at,"note\nmore",revenue_usd\ne,a,open,2024-01-01,x,1\n',
         ("note\nmore",)),
        (HEADER + ",,\ne,a,open,2024-01-01,1,,\n", ("(column 6)", "(column 7)")),
        (HEADER + "\re,a,open,2024-01-01,1\r", ()),
        ("\ufeff" + HEADER + "\r\n\r\n   \r\n,,,,\r\ne,a,open,2024-01-01,1\r\n\r\n", ()),
        (HEADER.replace(",", ", ") + "\ne, a, open, 2024-01-01, 1\n", ()),
    ],
    ids=["line feed in a name", "trailing commas", "carriage returns", "blank lines", "blanks"],
)  # fmt: skip
def test_csv_as_it_comes(house: House, text: str, ignored: tuple[str, ...]) -> None:
    (house.folder / "a.csv").write_bytes(text.encode())
    report = house.load("events", house.folder / "a.csv")
    assert (report.rows, report.loaded, report.ignored) == (1, 1, ignored)
    assert house.rows("events", "event_id, user_id, event_name, revenue_usd") == [
        ("e", "a", "open", Decimal(1))
    ]


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_line_of_more_cells_than_the_first_is_not_cut(house: House, delimiter: str) -> None:
    """As where decimal commas are not quoted: 1,99 would be 1."""
    lines = [HEADER, "e,a,open,2024-01-01,1,99", "f,a,open,2024-01-01,2,", "g,a,open,2024-01-01,3"]
    path = house.folder / "a.csv"
    path.write_text("\n".join(lines).replace(",", delimiter))
    report = house.load("events", path)
    assert (report.loaded, report.quarantined) == (2, 1)
    assert house.rows("events", "sum(revenue_usd)") == [(Decimal(5),)]
    (reason,) = house.reasons()
    shown = "e,a,open,2024-01-01,1,99".replace(",", delimiter)
    assert reason == f"the line is not of 5 cells, as many as the first line has: '{shown}'"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"a\tb\r1\t2\r", "The lines of the file end in carriage returns alone"),
        ("a.csv", HEADER.encode("utf-16"), "The file is in UTF-16"),
        ("a.csv", b"PK\x03\x04 and so on", "The file is an archive of zip, or of a spreadsheet"),
        ("a.csv", b"caf\xe9,b\n1,2\n", "The first line of the file could not be read"),
        ("a.csv", b'"' + b"x" * 200_000, "The first line of the file could not be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(
    house: House, name: str, content: bytes, message: str
) -> None:
    (house.folder / name).write_bytes(content)
    with pytest.raises(TreehouseError, match=message):
        house.load("events", house.folder / name)


def test_blanks_around_a_value_make_no_second_user(house: House) -> None:
    path = house.csv([HEADER, "a,u ,open,2024-01-01,1", 'b,"u ",open,2024-01-01,1'])
    assert house.load("events", path).said == {"user_id: blanks around it removed": 1}
    tabs = house.csv(
        ["event_id\tuser_id\tevent_name\tevent_at", "c\tu \topen\t2024-01-01"], "a.tsv"
    )
    house.load("events", tabs)
    assert house.rows("events", "event_id, user_id") == [("a", "u"), ("b", "u"), ("c", "u")]


def test_reasons_are_counted_without_their_values(house: House) -> None:
    lines = [f"e{i},u,open,{i}.1.2024,1" for i in range(1, 31)]
    report = house.load("events", house.csv([HEADER, *lines, ",,open,1,1"]))
    assert report.reasons == {
        "event_at.unreadable": 30,
        "user_id.missing; event_at.unreadable": 1,
    }
    assert house.query("select count() from treehouse_load_tests.quarantine group by reason_code "
                       "order by 1") == [(1,), (30,)]  # fmt: skip


def test_times_since_1970_are_said_with_their_unit(house: House) -> None:
    times = ["1700000000", "1700000000123", "1700000000124", "2024-01-01"]
    path = house.csv([HEADER, *(f"e{t},u,open,{t},1" for t in times)])
    assert house.load("events", path).said == {
        "event_at: read as milliseconds since 1970": 2,
        "event_at: read as seconds since 1970": 1,
    }
