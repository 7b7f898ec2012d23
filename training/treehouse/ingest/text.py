"""How to read files of lines: CSV, TSV, JSON, and words between blanks."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from treehouse.clickhouse.client import literal
from treehouse.ingest.files import encoding
from treehouse.ingest.jsonl import json_layout
from treehouse.ingest.layout import TEXT, Layout, check_unique
from treehouse.project.errors import TreehouseError

FORMATS = ("csv", "tsv", "json", "words")
_DELIMITERS = ",;\t|"  # the first is preferred
_CHUNK_BYTES = 1 << 20
_BLANKS = "' \\t\\r\\n'"
_SURPLUS = (
    "_surplus"  # what stands after the last named column, as where decimal commas are unquoted
)


def text_layout(path: Path, fmt: str, delimiter: str = "") -> Layout:
    """How to read a file of lines, the first of which names the columns.

    Args:
        path: The file, packed or not.
        fmt: One of FORMATS.
        delimiter: Between the columns of CSV; "" finds it in the first line.

    Raises:
        TreehouseError: The first line can't be read, or names two columns alike.
    """
    start = beginning(path)
    bare_returns = "\r" in start and "\n" not in start
    if bare_returns and fmt != "csv":
        raise TreehouseError(
            "The lines of the file end in carriage returns alone.",
            value=path,
            expected="line feeds, as all but CSV needs",
            fix="tr '\\r' '\\n' < theirs > mended",
        )
    if fmt == "words":
        return _words_layout(start)
    if fmt == "json":
        return json_layout(start)
    skipped, said = 1, tuple[str, ...]()
    if fmt == "csv" and (hint := re.match(r'"?sep=(.)"?\r?\n', start)):  # Excel's
        start, skipped, delimiter = start[hint.end() :], 2, delimiter or hint[1]
    if not delimiter:
        delimiter = _find_delimiter(start) if fmt == "csv" else "\t"
        said = () if delimiter in ",\t" else (f"columns are separated by {delimiter!r}",)
    names = [name.strip() for name in _header(path, start, delimiter, fmt)]
    check_unique([name for name in names if name], f"the first line of {path}")
    settings: dict[str, Any] = {
        f"input_format_{fmt}_skip_first_lines": skipped,
        f"input_format_{fmt}_allow_variable_number_of_columns": 1,
    }
    if fmt == "csv":
        settings["format_csv_delimiter"] = delimiter
        settings["input_format_csv_allow_whitespace_or_tab_as_delimiter"] = int(delimiter.isspace())
    if fmt == "tsv":
        settings["input_format_tsv_crlf_end_of_line"] = 1
    if bare_returns:
        settings["input_format_csv_allow_cr_end_of_line"] = 1
    # Names of our own: theirs might be `c2` for the first column.
    columns = [f"_column_{i}" for i, _ in enumerate(names, 1)]
    cells = ", ".join(f"ifNull({column}, '')" for column in [*columns, _SURPLUS])
    return Layout(
        texts={
            name or f"(column {i})": column
            for i, (name, column) in enumerate(zip(names, columns, strict=True), 1)
        },
        format="CSV" if fmt == "csv" else "TabSeparated",
        structure=", ".join(f"{column} {TEXT}" for column in [*columns, _SURPLUS]),
        where=" or ".join(f"ifNull(trimBoth({column}, {_BLANKS}), '') != ''" for column in columns),
        settings=settings,
        said=said,
        broken=f"if(trimBoth(ifNull({_SURPLUS}, ''), {_BLANKS}) = '', '', "
        f"arrayStringConcat([{cells}], {literal(delimiter)}))",
        whole=f"of {len(names)} cells, as many as the first line has",
    )


def _words_layout(start: str) -> Layout:
    names = start.splitlines()[0].split()
    texts = {name: f"splitByWhitespace(line)[{i}]" for i, name in enumerate(names, 1)}
    words = "arrayStringConcat(splitByWhitespace(line), ' ')"
    where = f"{words} not in ('', {literal(' '.join(names))})"
    return Layout(texts, "LineAsString", "line String", where)


def beginning(path: Path) -> str:
    """The file's beginning as text; a byte that is not UTF-8 becomes a surrogate."""
    packed = encoding(path)
    try:
        with pa.input_stream(str(path), compression=None if packed == "none" else packed) as stream:
            chunk = bytes(stream.read(_CHUNK_BYTES))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise TreehouseError(
            "The file is in UTF-16.",
            value=path,
            expected="UTF-8",
            fix="iconv -f UTF-16 -t UTF-8 theirs > mended",
        )
    start = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode(chunk)
    if not start.strip():
        raise TreehouseError(
            "The file is empty.", value=path, expected="a first line that names the columns"
        )
    return start


def _find_delimiter(start: str) -> str:
    """What stands most often between the names of the first line; a comma, where several do."""
    bare = re.split(r"[\r\n]", re.sub(r'"[^"]*"', "", start.lstrip("\r\n ")), maxsplit=1)[0]
    return max(_DELIMITERS, key=bare.count)


def _header(path: Path, start: str, delimiter: str, fmt: str) -> list[str]:
    """The cells of the first line, which may hold line feeds between quotes."""
    lines = csv.reader(
        io.StringIO(start, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if fmt == "csv" else csv.QUOTE_NONE,
        skipinitialspace=True,
    )
    try:
        cells = next(lines, [])
        "".join(cells).encode()
    except (csv.Error, UnicodeEncodeError) as error:
        raise _unreadable(path, error) from error
    return cells


def _unreadable(path: Path, error: Exception) -> TreehouseError:
    return TreehouseError(
        "The first line of the file could not be read.",
        value=f"{path}: {error}",
        expected="a line of UTF-8 that names the columns",
    )
