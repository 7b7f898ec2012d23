"""What people and scripts see: tables and progress for a terminal, one JSON object for `--json`."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

# A pipe has no width of its own; 80 columns would fold every table.
_WIDTH = None if sys.stdout.isatty() else 160
out = Console(highlight=False, width=_WIDTH)
err = Console(stderr=True, highlight=False)
Report = Callable[[str, int | None, int | None], None]


@contextmanager
def step(title: str, quiet: bool = False) -> Iterator[Report]:
    """Show a step while it runs, on stderr; yields `report(phase, done, total)`.

    On a terminal it is a bar; elsewhere, one line when the step begins and one when it ends.
    """
    started = time.perf_counter()
    if quiet or not err.is_terminal:
        if not quiet:
            err.print(f"{title} ...")
        yield _no_report
        if not quiet:
            err.print(f"{title}: {time.perf_counter() - started:.1f} s")
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def report(phase: str, done: int | None, total: int | None) -> None:
            bar.update(task, description=f"{title}: {phase}", completed=done or 0, total=total)

        yield report
    err.print(f"[green]done[/] {title} [dim]{time.perf_counter() - started:.1f} s[/]")


def _no_report(phase: str, done: int | None, total: int | None) -> None:
    """Progress that nobody watches."""


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
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for i, name in enumerate(columns):
        numeric = bool(rows) and all(
            isinstance(row[i], int | float) or row[i] is None for row in rows
        )
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    out.print(table)


def cell(value: Any) -> str:
    """A value as people read it, safe to be printed with markup."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(str(value))


def bars(values: Sequence[float], labels: Sequence[str], width: int = 40) -> list[str]:
    """One line a value: label, bar, number."""
    top = max([*values, 1e-12])
    return [
        f"{label}  {'█' * round(width * max(value, 0) / top):<{width}} {value:.2f}"
        for label, value in zip(labels, values, strict=True)
    ]
