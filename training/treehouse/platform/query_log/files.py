"""Files that people bring: traces and exported logs, read by the engine as relations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest.files import encoding, plain_path, suffix
from treehouse.ingest.origin import file_layout
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

_FORMATS = {".csv": "CSVWithNames", ".parquet": "Parquet"}


@contextmanager
def opened(
    client: Client, settings: Settings, path: Path, columns: Mapping[str, str]
) -> Iterator[str]:
    """A file as a relation of SQL: read in place, or sent to a server for as long as it is read.

    Args:
        client: Of the engine that reads.
        settings: Whose target says whether the engine sees this machine's files.
        path: A .csv (with names in the first line; .gz and .zst too) or .parquet file.
        columns: ClickHouse types by name; a column that the file lacks has its type's default.

    Raises:
        TreehouseError: There is no such file, or its name tells no format.
    """
    fmt = _format(path)
    structure = ", ".join(f"{identifier(name)} {kind}" for name, kind in columns.items())
    if settings.target == "embedded":
        with plain_path(path) as plain:
            yield f"file({', '.join(map(literal, (plain, fmt, structure, encoding(path))))})"
        return
    table = f"{identifier(settings.raw_database)}.{identifier(f'_file__{uuid4().hex}')}"
    client.command(f"create table {table} ({structure}) engine = MergeTree order by ()")
    try:
        with path.open("rb") as file:
            packed = encoding(path)
            client.raw_insert(
                table,
                list(columns),
                file,
                fmt=fmt,
                compression=None if packed == "none" else packed,
            )
        yield table
    finally:
        client.command(f"drop table {table}")


def header(path: Path) -> list[str]:
    """The names of a file's columns of plain values, in its order.

    Raises:
        TreehouseError: There is no such file, its name tells no format, or it holds no names.
    """
    _format(path)
    return list(file_layout(path).texts)


def _format(path: Path) -> str:
    if not path.is_file():
        raise TreehouseError("There is no such file.", value=path)
    try:
        return _FORMATS[suffix(path)]
    except KeyError:
        raise TreehouseError(
            "The format of a file is not known.",
            value=path.name,
            expected="a name that ends in .csv (also with .gz or .zst) or .parquet",
        ) from None
