"""What `load` reads: files and tables, as relations whose columns are all text.

Every value is read as text first, so that one that can't be parsed is seen and kept.
"""

from __future__ import annotations

import csv
import glob
import io
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from training.engine import identifier, literal
from training.errors import TreehouseError

Progress = Callable[[str, int | None, int | None], None]
FORMATS = ("csv", "tsv", "parquet", "words")
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet", ".pq": "parquet"}
_ENCODINGS = {".gz": "gzip", ".zst": "zstd"}
_CHUNK_BYTES = 1 << 20
_BATCH_ROWS = 1 << 16
_TEXT = "Nullable(String)"
_TIME = "Nullable(DateTime64(6, 'UTC'))"


@dataclass(frozen=True)
class Layout:
    """How the engine reads an origin.

    Attributes:
        texts: For each column, by its own name, the SQL of its value as Nullable(String).
        format: The engine's format of a file.
        structure: Names and types that the engine reads a file with.
        where: Condition on the rows read.
        settings: Query settings of the reading.
        rows: How many there are, where a file says so.
    """

    texts: Mapping[str, str]
    format: str = ""
    structure: str = ""
    where: str = "1"
    settings: Mapping[str, int] = field(default_factory=dict)
    rows: int | None = None


def files(origin: str) -> list[Path]:
    """The files of an origin: itself, those of a folder, or those that match a pattern.

    Raises:
        TreehouseError: There is none.
    """
    path = Path(origin).expanduser()
    if path.is_dir():
        found = [p for p in path.iterdir() if p.is_file() and not p.name.startswith((".", "_"))]
    elif path.is_file():
        found = [path]
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]
    if not found:
        raise TreehouseError(
            "There is nothing to load there.",
            value=origin,
            expected="a file, a folder, a pattern such as data/*.parquet, or table:database.name",
        )
    return sorted(p.resolve() for p in found if p.is_file())


def file_layout(path: Path, fmt: str | None = None) -> Layout:
    """How to read a file: by `fmt` (one of FORMATS), else by its name.

    Raises:
        TreehouseError: The format is not known, or the file is not of it.
    """
    name = path.with_suffix("") if path.suffix.lower() in _ENCODINGS else path
    fmt = fmt or _SUFFIXES.get(name.suffix.lower(), "")
    if fmt == "parquet":
        return _parquet_layout(path)
    if fmt in FORMATS:
        return _text_layout(path, fmt)
    raise TreehouseError(
        "The format of a file is not known.",
        value=fmt or path.name,
        expected="a name that ends in .parquet, .csv or .tsv, the last two also with .gz or .zst",
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
    return Layout({name: _as_text(identifier(name), kind) for name, kind, *_ in rows})


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
    if landing is None:
        arguments = ", ".join(map(literal, (str(path), layout.format, layout.structure)))
        yield f"file({arguments})"
        return
    client.command(f"create table {landing} ({layout.structure}) engine = MergeTree order by ()")
    is_parquet = layout.format == "Parquet"
    blocks = _arrow_blocks(path, progress) if is_parquet else _byte_blocks(path, progress)
    client.raw_insert(
        landing,
        insert_block=blocks,
        fmt="ArrowStream" if is_parquet else layout.format,
        compression=None if is_parquet else _ENCODINGS.get(path.suffix.lower()),
        settings=dict(layout.settings),
    )
    yield landing
    client.command(f"drop table {landing}")


def _as_text(name: str, kind: str) -> str:
    """SQL of a column's value as text: times in UTC, containers as JSON."""
    if "DateTime" in kind and not re.match(r"Array|Map|Tuple", kind):
        return f"toString({name}, 'UTC')"
    if re.match(r"Array|Map|Tuple|Nested|JSON|Object|Variant|Dynamic", kind):
        return f"toJSONString({name})"
    return f"toString({name})"


def _parquet_layout(path: Path) -> Layout:
    try:
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
    except (pa.ArrowInvalid, OSError) as error:
        raise TreehouseError(
            "The file is not Parquet.", value=f"{path}: {error}", fix="give its --format"
        ) from error
    kinds = {f.name: kind for f in schema if (kind := _arrow_kind(f.type))}
    return Layout(
        texts={name: _as_text(identifier(name), kind) for name, kind in kinds.items()},
        format="Parquet",
        structure=", ".join(f"{identifier(name)} {kind}" for name, kind in kinds.items()),
        rows=metadata.num_rows,
    )


def _arrow_kind(kind: pa.DataType) -> str | None:
    """The type to read an Arrow type with; None for those that no contract could take."""
    if pa.types.is_timestamp(kind):
        return _TIME
    if pa.types.is_map(kind):
        return f"Map(String, {_TEXT})"
    return None if pa.types.is_nested(kind) or pa.types.is_null(kind) else _TEXT


def _text_layout(path: Path, fmt: str) -> Layout:
    header = _header(path)
    if fmt == "words":
        names = header.split()
        texts = {name: f"splitByWhitespace(line)[{i}]" for i, name in enumerate(names, 1)}
        words = "arrayStringConcat(splitByWhitespace(line), ' ')"
        where = f"{words} not in ('', {literal(' '.join(names))})"
        return Layout(texts, "LineAsString", "line String", where)
    delimiter = "," if fmt == "csv" else "\t"
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    if len(set(names)) < len(names):
        raise TreehouseError(
            "Two columns of the file have one name.",
            value=", ".join(sorted({name for name in names if names.count(name) > 1})),
            fix=f"name them apart in the first line of {path}",
        )
    settings = {
        f"input_format_{fmt}_skip_first_lines": 1,
        f"input_format_{fmt}_allow_variable_number_of_columns": 1,
    }
    if fmt == "tsv":
        settings["input_format_tsv_crlf_end_of_line"] = 1
    return Layout(
        texts={name: f"c{i}" for i, name in enumerate(names, 1)},
        format="CSV" if fmt == "csv" else "TabSeparated",
        structure=", ".join(f"c{i} {_TEXT}" for i, _ in enumerate(names, 1)),
        settings=settings,
    )


def _header(path: Path) -> str:
    """The first line of a text file, which names its columns."""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            line = bytes(stream.read(_CHUNK_BYTES)).split(b"\n", 1)[0]
            header = line.decode("utf-8-sig").rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise TreehouseError(
            "The first line of the file could not be read.",
            value=f"{path}: {error}",
            expected="a line of UTF-8 that names the columns",
        ) from error
    if not header.strip():
        raise TreehouseError(
            "The file is empty.", value=path, expected="a first line that names the columns"
        )
    return header


def _byte_blocks(path: Path, progress: Progress) -> Generator[bytes, None, None]:
    """The file's bytes as they are."""
    total, sent = path.stat().st_size, 0
    with path.open("rb") as file:
        while block := file.read(_CHUNK_BYTES):
            yield block
            sent += len(block)
            progress(f"send {path.name}", sent, total)


def _arrow_blocks(path: Path, progress: Progress) -> Generator[bytes, None, None]:
    """A Parquet file as an Arrow stream: a server would hold the whole Parquet file in memory."""
    file = pq.ParquetFile(path, buffer_size=_CHUNK_BYTES)
    names = [f.name for f in file.schema_arrow if _arrow_kind(f.type)]
    schema = pa.schema([file.schema_arrow.field(name) for name in names])
    buffer, sent = _Drain(), 0
    with file, pa.ipc.new_stream(buffer, schema) as writer:
        for group in range(file.num_row_groups):  # all at once, it would keep what it has read
            for batch in file.iter_batches(_BATCH_ROWS, [group], names):
                writer.write_batch(batch)
                yield buffer.drain()
                sent += batch.num_rows
                progress(f"send {path.name}", sent, file.metadata.num_rows)
    yield buffer.drain()


class _Drain(io.BytesIO):
    """A buffer that is emptied as it is read."""

    def drain(self) -> bytes:
        block = self.getvalue()
        self.seek(0)
        self.truncate()
        return block
