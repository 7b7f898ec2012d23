"""What the engine itself does: collect its logs, run a workload that fills them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from treehouse.cli.shared import JsonFlag, client_of, example, show
from treehouse.project import console
from treehouse.project.settings import Settings

app = typer.Typer()
workload = typer.Typer(help="A simulated shop's dashboards and analysts.", no_args_is_help=True)
app.add_typer(workload, name="workload", rich_help_panel="The engine itself")


@app.command(
    rich_help_panel="The engine itself",
    epilog=example("--target server collect   # cron: */10 * * * *"),
)
def collect(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option("--from", help="An export of system.query_log instead: CSV or Parquet."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Take over what is new in the engine's logs, without literals and names of people."""
    from treehouse.platform.query_log.collect import collect as run

    settings: Settings = context.obj
    with client_of(settings) as client, console.step("collect", json) as report:
        found = run(client, settings, file=file, progress=report)
    show(asdict(found), json)
    if found.gap_seconds and settings.target == "server":
        console.err.print(
            f"The logs were cut: {found.gap_seconds:.0f} s before their oldest row may be missing. "
            "Collect more often, or keep the logs for longer."
        )


@workload.command("run", epilog=example("workload run --hours 24 --sessions 300 --scale 10"))
def run_(
    context: typer.Context,
    hours: Annotated[int, typer.Option(help="Simulated time.")] = 24,
    seed: Annotated[int, typer.Option(help="Equal seeds ask the same.")] = 7,
    sessions: Annotated[int, typer.Option(help="Sittings on a working day.")] = 300,
    people: Annotated[int, typer.Option(help="How many people there are.")] = 60,
    wall_minutes: Annotated[
        int,
        typer.Option(help="Between refreshes of the screens on walls; 0: 5, as dashboards say."),
    ] = 0,
    panels: Annotated[
        int, typer.Option(help="Most panels of a dashboard, its first ones; 0: all.")
    ] = 0,
    meetings: Annotated[
        float, typer.Option(help="Chance of a meeting in an hour of a working day.")
    ] = 0.04,
    load_hours: Annotated[int, typer.Option(help="Hours between loads of new rows.")] = 1,
    scale: Annotated[
        float,
        typer.Option(help="Factor of the tables' rows: 100 makes queries take as on a platform."),
    ] = 1.0,
    speed: Annotated[
        float, typer.Option(help="Simulated seconds in one; 0: as fast as the engine answers.")
    ] = 0.0,
    clients: Annotated[int, typer.Option(min=1, help="How many ask at once.")] = 4,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop the tables of an earlier run.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Make the shop's tables, ask what its people ask, and collect what the engine logged."""
    from treehouse.simulation.shop.plan import Options
    from treehouse.simulation.shop.run import run_workload

    options = Options(
        hours=hours, seed=seed, sessions=sessions, people=people, wall_minutes=wall_minutes,
        panels=panels, meetings=meetings, load_hours=load_hours, scale=scale,
    )  # fmt: skip
    with console.step("workload", json) as report:
        ran = run_workload(
            context.obj, options, speed=speed, clients=clients, replace=replace,
            progress=lambda done, total: report("statements", done, total),
        )  # fmt: skip
    values = asdict(ran)
    show(values if json else values | values.pop("collected"), json)
