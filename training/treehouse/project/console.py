"""What people and scripts see: tables and progress for a terminal, one JSON object for `--json`.

All that goes to a terminal passes here, and what is in data steers none: no escape sequence, no
text that runs backwards, no markup of rich's.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from rich.console import Console
from rich.errors import MarkupError
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

# Controls (C0 without tab and line feed, DEL, C1), what turns the direction of text or breaks lines
# unseen, tags, and surrogates, which no terminal takes.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_COLOURS = re.compile("(\x1b\\[[0-9;]*m)")  # as programs of ours write them, dbt above all


def visible(text: str) -> str:
    """The same with what would steer a terminal as its code: `\\x1b`, `\\u202e`."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Console(Console):
    """rich's console, for text that may hold anything."""

    def render_str(self, text: str, **options: Any) -> Text:
        text = visible(text)
        try:
            return super().render_str(text, **options)
        except MarkupError:  # of somebody else's, in what was not escaped
            return super().render_str(text, **options | {"markup": False})


# A pipe has no width of its own; 80 columns would fold every table.
_WIDTH = None if sys.stdout.isatty() else 160
out = _Console(highlight=False, emoji=False, width=_WIDTH)
err = _Console(stderr=True, highlight=False, emoji=False)
Report = Callable[[str, int | None, int | None], None]


@contextmanager
def step(title: str, quiet: bool = False) -> Iterator[Report]:
    """Show a step while it runs, on stderr; yields `report(phase, done, total)`.

    On a terminal it is a bar; elsewhere, one line when the step begins and one when it ends.
    """
    started = time.perf_counter()
    if quiet or not err.is_terminal:
        if not quiet:
            err.print(f"{title} ...", markup=False)
        yield _no_report
        if not quiet:
            err.print(f"{title}: {time.perf_counter() - started:.1f} s", markup=False)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(escape(visible(title)), total=None)

        def report(phase: str, done: int | None, total: int | None) -> None:
            description = escape(visible(f"{title}: {phase}"))
            bar.update(task, description=description, completed=done or 0, total=total)

        yield report
    err.print(f"[green]done[/] {escape(title)} [dim]{time.perf_counter() - started:.1f} s[/]")


def _no_report(phase: str, done: int | None, total: int | None) -> None:
    """Progress that nobody watches."""


def show_text(text: str | bytes) -> None:
    """Text in a format of its own: as it is for a file or pipe, without what steers a terminal."""
    content = text.encode() if isinstance(text, str) else text
    if sys.stdout.isatty():
        content = visible(content.decode(errors="replace")).encode()
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


@contextmanager
def guarded_stdout() -> Iterator[None]:
    """Let what another program prints reach a terminal with nothing but its colours."""
    if not sys.stdout.isatty():
        yield
        return
    with redirect_stdout(_Guarded(sys.stdout)):
        yield


class _Guarded:
    """A stream that leaves out of the terminal's commands all but colours."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        parts = _COLOURS.split(text)  # text and colours in turn
        return self._stream.write("".join(p if i % 2 else visible(p) for i, p in enumerate(parts)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def show_json(value: Any) -> None:
    """One JSON value on stdout; what JSON lacks becomes text, NaN and infinities become null."""
    json.dump(_finite(value), sys.stdout, default=str, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def show_json_line(value: Any) -> None:
    """One JSON value on a line of its own, for what goes on."""
    sys.stdout.write(json.dumps(_finite(value), default=str) + "\n")
    sys.stdout.flush()


def _finite(value: Any) -> Any:
    """The same without NaN and infinities, as ClickHouse's own JSON formats write them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None
) -> None:
    """Rows under a header; numbers to the right."""
    rows = [list(row) for row in rows]
    table = Table(
        title=escape(title or ""),
        title_justify="left",
        header_style="bold",
        box=None,
        pad_edge=False,
    )
    for i, name in enumerate(columns):
        numeric = bool(rows) and all(
            isinstance(row[i], int | float) or row[i] is None for row in rows
        )
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_named_cell, columns, row))
    out.print(table)


_NAMES = re.compile(r"(^|_)(id|key|hash|year|port)$", re.IGNORECASE)
"""Columns whose numbers name something: nobody counts with them."""


def _named_cell(column: str, value: Any) -> str:
    """A cell of a table; numbers that are names have no marks for thousands."""
    is_name = isinstance(value, int) and _NAMES.search(column.replace(" ", "_"))
    return str(value) if is_name else cell(value)


def cell(value: Any) -> str:
    """A value as people read it, safe to be printed with markup."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(str(_rounded(value)))


def _rounded(value: Any) -> Any:
    """The same with the numbers inside of it as short as those that stand alone."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_rounded, value)) if type(value) in (list, tuple) else value
    return value


def bars(values: Sequence[float], labels: Sequence[str], width: int = 40) -> list[str]:
    """One line a value: label, bar, number."""
    top = max([*values, 1e-12])
    return [
        f"{label}  {'█' * round(width * max(value, 0) / top):<{width}} {value:.2f}"
        for label, value in zip(labels, values, strict=True)
    ]
