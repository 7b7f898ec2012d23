"""`treehouse replay ...`: policies over a trace, beside what foresight could reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from treehouse.cli.shared import JsonFlag, client_of, example, show_rows
from treehouse.project import console
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

app = typer.Typer(
    help="Replay a trace under every policy, beside what foresight could reach.",
    no_args_is_help=True,
)
_Trace = Annotated[
    Path | None,
    typer.Option(help="CSV (.gz, .zst) or Parquet; without it, what was collected."),
]
_Train = Annotated[float, typer.Option(help="Share of the trace, its begin, that is learned from.")]


@app.command(epilog=example("replay cache --trace requests.csv --capacity 0.1"))
def cache(
    context: typer.Context,
    trace: _Trace = None,
    capacity: Annotated[float, typer.Option(help="Share of the distinct bytes.")] = 0.1,
    train: _Train = 0.5,
    json: JsonFlag = False,
) -> None:
    """Columns: time, object, size; and if it has them cost (seconds) and version (of the data)."""
    from treehouse.platform.replay.cache import Options, replay
    from treehouse.platform.replay.traces import read_cache_trace

    settings: Settings = context.obj
    options = Options(capacity, train)
    with console.step("replay", json) as report:
        with _engine(settings, trace) as (client, its):
            requests = read_cache_trace(client, its, trace)
        result = replay(requests, options, report)
    if json:
        console.show_json(result)
        return
    show_rows(result["policies"])
    _show_verdict(result["verdict"])


@app.command(epilog=example("replay admission --capacity 0.2"))
def admission(
    context: typer.Context,
    capacity: Annotated[float, typer.Option(help="Share of the distinct bytes.")] = 0.1,
    json: JsonFlag = False,
) -> None:
    """The promoted cache_admission over queries later than its training; how stale answers are."""
    from treehouse.platform.replay.admission import replay
    from treehouse.platform.replay.admission_trace import read_asked

    settings: Settings = context.obj
    with console.step("replay", json) as report, client_of(settings) as client:
        result = replay(read_asked(client, settings), capacity, report)
    if json:
        console.show_json(result)
        return
    show_rows(result["policies"])
    _show_verdict(result["verdict"])


@app.command("tiering", epilog=example("replay tiering --trace accesses.parquet --train 0.5"))
def tiering_(
    context: typer.Context,
    trace: _Trace = None,
    train: _Train = 0.5,
    step_hours: Annotated[
        float | None,
        typer.Option(help="Between decisions.", show_default="24, or 1 below 20 days"),
    ] = None,
    scale: Annotated[float, typer.Option(help="Factor of all sizes.")] = 1.0,
    cold_reads: Annotated[float, typer.Option(help="Share of reads that may be cold.")] = 0.01,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Also if waiting is worth nothing, or 10 times.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Columns: time, partition, operation (read, write), size; and if it has it stored_bytes."""
    from treehouse.platform.replay import tiering
    from treehouse.platform.replay.traces import read_tiering_trace
    from treehouse.platform.tiering.prices import Prices

    settings: Settings = context.obj
    options = tiering.Options(train, step_hours, scale, cold_reads)
    prices = Prices.configured()
    with console.step("replay", json) as report:
        with _engine(settings, trace) as (client, its):
            requests = read_tiering_trace(client, its, trace)
        result = tiering.replay(requests, options, prices, report)
        if sensitivity:
            result["sensitivity"] = tiering.sensitivity(requests, options, prices, report)
    if json:
        console.show_json(result)
        return
    show_rows([
        {name: value for name, value in row.items() if name not in ("reads", "is_allowed")}
        | {f"reads {tier}": share for tier, share in row["reads"].items()}
        for row in result["policies"]
    ])  # fmt: skip
    console.out.print(
        f"Cheapest of what knows no later step, where an hour of waiting is worth "
        f"{prices.waiting_usd_per_hour:g} USD and at most {cold_reads:.0%} of the reads are cold: "
        f"{result['winner']}"
    )
    if sensitivity:
        show_rows(result["sensitivity"])


@contextmanager
def _engine(settings: Settings, trace: Path | None) -> Iterator[tuple[Client, Settings]]:
    """Of the target, for what was collected; a file is read by one of its own, so that it needs no
    server and no home folder, and stands in nobody's way."""
    from treehouse.clickhouse.client import throwaway

    if trace is None:
        with client_of(settings) as client:
            yield client, settings
        return
    with throwaway(settings) as found:
        yield found


def _show_verdict(verdict: dict[str, Any]) -> None:
    for measure, found in verdict.items():
        name = found["best_rule" if found["winner"] == "rule" else "best_learned"]
        won = f"{name} wins by {abs(found['learned_minus_rule']):.4f}"
        if "plays" in found:
            won += f", and {found['best_learned']} plays {found['plays']}"
        if found["winner"] == "both":
            won = f"{name} and {found['best_rule']} are equal"
        console.out.print(
            f"{measure.replace('_', ' ')}: {won}; the learned policy reaches "
            f"{found['learned_of_bound']:.1%} of what foresight does"
        )
