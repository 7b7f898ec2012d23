"""What `load` reads: files and tables, as relations whose columns are all text."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest import text
from treehouse.ingest.files import encoding, plain_path, suffix
from treehouse.ingest.layout import Layout, Progress, as_text
from treehouse.ingest.parquet import arrow_blocks, parquet_layout
from treehouse.project.errors import TreehouseError

FORMATS = (*text.FORMATS, "parquet")
_SUFFIXES = {
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
    ".csv": "csv",
}
_CHUNK_BYTES = 1 << 20


def file_layout(path: Path, fmt: str = "", delimiter: str = "") -> Layout:
    """How to read a file: by `fmt` (one of FORMATS), else by its name.

    JSON has its columns when it has landed: see `jsonl.with_keys`.

    Raises:
        TreehouseError: The format is not known, or the file is not of it.
    """
    fmt = fmt or _SUFFIXES.get(suffix(path), "")
    if fmt == "parquet":
        return parquet_layout(path)
    if fmt in FORMATS:
        return text.text_layout(path, fmt, delimiter)
    raise TreehouseError(
        "The format of a file is not known.",
        value=fmt or path.name,
        expected="a name that ends in .parquet, .csv, .tsv, .json or .jsonl, packed or not",
        fix="give it: --format " + "|".join(FORMATS),
    )


def table_layout(client: Client, database: str, table: str) -> Layout:
    """How to read a table.

    Raises:
        TreehouseError: There is no such table.
    """
    try:
        described = client.query(f"describe table {identifier(database)}.{identifier(table)}")
    except ClickHouseError as error:
        raise TreehouseError(
            "The table could not be read.",
            value=f"{database}.{table}: {str(error).splitlines()[0]}",
            expected="a table that this user may read, as table:database.name",
        ) from error
    rows = described.result_rows
    return Layout({name: as_text(identifier(name), kind) for name, kind, *_ in rows})


@contextmanager
def landed(
    client: Client, path: Path, layout: Layout, landing: str | None, progress: Progress
) -> Iterator[str]:
    """The file as a relation: read in place, or sent to the table `landing` first.

    Args:
        client: Of an engine that sees the file's path, unless `landing` is given.
        path: The file.
        layout: Of the file.
        landing: Qualified name of a table to make and drop, on an engine that can't see the file.
        progress: Told the bytes sent.
    """
    packed = encoding(path)
    if landing is None:
        with plain_path(path) as plain:
            arguments = (plain, layout.format, layout.structure, packed)
            yield f"file({', '.join(map(literal, arguments))})"
        return
    client.command(f"create table {landing} ({layout.structure}) engine = MergeTree order by ()")
    is_parquet = layout.format == "Parquet"
    client.raw_insert(
        landing,
        insert_block=arrow_blocks(path, progress) if is_parquet else _byte_blocks(path, progress),
        fmt="ArrowStream" if is_parquet else layout.format,
        compression=None if packed == "none" else packed,
        settings=dict(layout.settings),
    )
    yield landing
    client.command(f"drop table {landing}")


def _byte_blocks(path: Path, progress: Progress) -> Generator[bytes, None, None]:
    """The file's bytes as they are."""
    total, sent = path.stat().st_size, 0
    with path.open("rb") as file:
        while block := file.read(_CHUNK_BYTES):
            yield block
            sent += len(block)
            progress(f"send {path.name}", sent, total)
