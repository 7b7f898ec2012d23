"""How an export is read, and the file that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from treehouse.ingest.reading import Reading, Sql, parse_mapping, read_mapping
from treehouse.ingest.sources import read_sources
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

READING = Reading(
    format="csv",
    delimiter="\t",
    decimal=",",
    thousands=" ",
    date_format="%d.%m.%Y",
    time_zone="Asia/Tokyo",
    refunds="drop",
    rates="rates.csv",
    columns={"user_id": ("a", "b"), "event_at": "it's: odd #", "event_name": Sql("lower(`x y`)")},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    help_ = read_sources(Settings())["events"].mapping_help()
    (tmp_path / "mapping.yml").write_text(READING.as_yaml(help_))
    assert read_mapping(tmp_path / "mapping.yml") == READING
    assert "revenue_usd" in help_


def test_options_go_above_the_file_and_columns_are_merged() -> None:
    options = {"decimal": ".", "thousands": None, "delimiter": "semicolon"}
    found = READING.with_options({"user_id": "c", "session_id": "s"}, **options)
    assert (found.decimal, found.thousands, found.delimiter) == (".", " ", ";")
    assert found.columns["user_id"] == "c"
    assert found.columns["event_at"] == "it's: odd #"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": ";;"}, "one character, or tab"),
        ({"decimal": "·"}, r"\. or ,"),
        ({"thousands": "x"}, "one of , "),
        ({"decimal": ",", "thousands": ","}, "not the decimal's"),
    ],
)
def test_marks_that_nobody_writes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TreehouseError, match=message):
        Reading(**options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "names and values"),
        ("colums: {}", "one of format, delimiter"),
        ("format: 1", "write format: '1'"),
        ("columns: [a]", "columns of the contract"),
        ("columns: {user_id: 1}", "the name of a column"),
        ("columns: {user_id: {sq: x}}", "the name of a column"),
    ],
)
def test_a_file_that_says_something_else_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "m.yml").write_text(text)
    with pytest.raises(TreehouseError, match="A mapping could not be understood") as caught:
        read_mapping(tmp_path / "m.yml")
    assert message in str(caught.value.expected)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TreehouseError, match="There is no such mapping"):
        read_mapping(tmp_path / "m.yml")


def test_an_empty_mapping_changes_nothing() -> None:
    assert parse_mapping({}, "nowhere") == Reading()


@pytest.mark.parametrize("date_format", ["dd.MM.yyyy HH:MM", "%d.%m.%Y %H:%m"])
def test_a_format_that_has_a_part_twice_is_refused(date_format: str) -> None:
    """The engine takes the last: minutes would be months."""
    with pytest.raises(TreehouseError, match="Unknown date format"):
        Reading(date_format=date_format)


@pytest.mark.parametrize(
    "date_format", ["", "dd.MM.yyyy HH:mm:ss", "%d.%m.%Y %H:%M", "yyyy-MM-dd'T'HH:mm:ss.SSS"]
)
def test_other_formats_are_taken(date_format: str) -> None:
    assert Reading(date_format=date_format).date_format == date_format
