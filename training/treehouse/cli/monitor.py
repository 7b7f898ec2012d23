"""Monitoring: measure, alerts, Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from treehouse.cli.shared import JsonFlag, client_of, example, show
from treehouse.project import console
from treehouse.project.files import write_whole
from treehouse.project.settings import Settings

app = typer.Typer()
_PANEL = "Watch"
alerts = typer.Typer(help="What is wrong: list, acknowledge, resolve.", no_args_is_help=True)
app.add_typer(alerts, name="alerts", rich_help_panel=_PANEL)
_Name = Annotated[str, typer.Argument(help="As `alerts list --each` shows it: model/kind/name.")]
_Reason = Annotated[str, typer.Option(help="For the record.")]


@app.command(rich_help_panel=_PANEL, epilog=example("monitor ltv --json"))
def monitor(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Only this use case.")] = None,
    json: JsonFlag = False,
) -> None:
    """Measure drift, health and quality; keep alerts; exit 1 while an error is open.

    Shows a line a model, the worst first; of one model all that was measured.

    TREEHOUSE_WEBHOOK: an address that takes Slack's JSON, told once of each alert.
    """
    from treehouse.cli.monitor_tables import show_checked, show_summary
    from treehouse.monitor.run import as_dict, check
    from treehouse.monitor.state import ensure_monitoring
    from treehouse.monitor.webhook import deliver
    from treehouse.spec import load_spec, specs

    settings: Settings = context.obj
    chosen = [load_spec(model)] if model else list(specs().values())
    results = []
    with client_of(settings) as client:
        ensure_monitoring(client, settings)
        for spec in chosen:
            with console.step(f"monitor {spec.use_case}", json):
                results.append(check(client, settings, spec))
        undelivered = deliver(client, settings)
    if json:
        console.show_json(
            {"models": [as_dict(result) for result in results], "undelivered": undelivered}
        )
    else:
        if model:
            show_checked(results[0])
        else:
            show_summary(results)
    if undelivered:
        console.err.print(f"Not delivered, and tried again at the next run: {undelivered}.")
    if any(result.has_open_error or result.is_failed for result in results):
        raise typer.Exit(1)


@alerts.command(name="list", epilog=example("alerts list --all"))
def list_(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    each: Annotated[bool, typer.Option("--each", help="A line each, with its name.")] = False,
    json: JsonFlag = False,
) -> None:
    """Alerts that are open or acknowledged: a line a model, the worst first."""
    from treehouse.cli.monitor_tables import show_alerts
    from treehouse.monitor.state import read_alerts

    settings: Settings = context.obj
    with client_of(settings) as client:
        found = read_alerts(client, settings, "1" if everything else "state != 'resolved'")
    if json:
        console.show_json([a.__dict__ | {"alert": a.alert} for a in found])
    else:
        show_alerts(found, each)


@alerts.command(epilog=example('alerts ack ltv/drift/country --reason "new campaign in Brazil"'))
def ack(context: typer.Context, alert: _Name, reason: _Reason = "", json: JsonFlag = False) -> None:
    """Say that somebody looks after it: it fails no run until it gets worse."""
    from treehouse.monitor.alerts import acknowledge

    _change(context.obj, acknowledge, alert, reason, "acknowledged", json)


@alerts.command(epilog=example('alerts resolve ltv/drift/country --reason "retrained"'))
def resolve(
    context: typer.Context, alert: _Name, reason: _Reason = "", json: JsonFlag = False
) -> None:
    """Close it by hand; it opens again if the next run finds its cause."""
    from treehouse.monitor.alerts import resolve as close

    _change(context.obj, close, alert, reason, "resolved", json)


def _change(
    settings: Settings, change: Any, alert: str, reason: str, state: str, json: bool
) -> None:
    from treehouse.monitor.state import ensure_monitoring

    with client_of(settings) as client:
        ensure_monitoring(client, settings)
        found = change(client, settings, alert, reason)
    show({"alert": found.alert, "state": state}, json)


@app.command(rich_help_panel=_PANEL, epilog=example("metrics --out /var/lib/node_exporter/t.prom"))
def metrics(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Write this file, at once, for node_exporter to read.")
    ] = None,
    handler: Annotated[
        bool, typer.Option("--handler", help="Print the rule by which a server serves it itself.")
    ] = False,
) -> None:
    """What the last run measured, in Prometheus' text format."""
    from treehouse.monitor.prometheus import handler_rule, read_metrics

    settings: Settings = context.obj
    if handler:
        typer.echo(handler_rule(settings), nl=False)
        return
    with client_of(settings) as client:
        text = read_metrics(client, settings)
    if out is None:
        console.show_text(text)
        return
    write_whole(out, text.encode(), shared=True)
