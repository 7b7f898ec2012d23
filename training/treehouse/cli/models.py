"""Versions: list, look, compare, promote, roll back, retire; files on each node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from treehouse.cli.shared import JsonFlag, Model, client_of, example, show
from treehouse.project import console
from treehouse.project.settings import Settings


class _ListsByDefault(TyperGroup):
    """`models` and `models ltv` are `models list` and `models list ltv`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer()
models = typer.Typer(cls=_ListsByDefault, help="List, show and compare the published versions.")
app.add_typer(models, name="models", rich_help_panel="Models", epilog=example("models ltv"))
_PANEL = "Models"
Number = Annotated[int, typer.Argument(help="Its number; see treehouse models.")]
Reason = Annotated[str, typer.Option(help="For the record.")]


@models.command("list", epilog=example("models ltv"))
def list_versions(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Only this use case.")] = None,
    json: JsonFlag = False,
) -> None:
    """List the published versions; the champion answers."""
    from treehouse.project.contract import load_contract
    from treehouse.registry.versions import versions

    settings: Settings = context.obj
    if model:
        load_contract(model)  # says what there is, and suggests
    with client_of(settings) as client:
        found = versions(client, settings, model)
    if json:
        console.show_json([v.__dict__ for v in found])
        return
    if not found:
        console.out.print("Nothing is published yet. Begin with: ./treehouse demo")
        return
    console.show_table(
        ("model", "version", "state", "created (UTC)", "test rows", "quality", "bytes", "file"),
        [
            (
                v.model, v.version, "champion" if v.is_champion else v.state,
                f"{v.created_at:%Y-%m-%d %H:%M}", v.holdout_rows, _quality(v.metrics), v.bytes,
                f"{v.bundle:016x}.bundle",
            )
            for v in found
        ],
    )  # fmt: skip


def _quality(metrics: Mapping[str, Any]) -> str:
    """The metrics that a list has room for, of those that the task has."""
    names = ("rmse", "gini", "recall_1", "log_loss", "auc", "cost", "accuracy")
    shown = [(name, metrics.get("model", {}).get(name)) for name in names]
    return ", ".join(f"{n} {console.cell(v)}" for n, v in shown if isinstance(v, float))


@models.command("show", epilog=example("models show ltv --version 3"))
def show_version(
    context: typer.Context,
    model: Model,
    version: Annotated[int | None, typer.Option(help="By default, the one that answers.")] = None,
    json: JsonFlag = False,
) -> None:
    """All that is known of one version: data, parameters, metrics, gates, events."""
    from treehouse.cli.metrics_table import show_groups
    from treehouse.registry.describe import look
    from treehouse.registry.diff import leaves

    settings: Settings = context.obj
    with client_of(settings) as client:
        found = look(client, settings, model, version)
    if json:
        console.show_json(found)
        return
    parts = {name: found.pop(name) for name in ("features", "gates", "events", "statistics")}
    measured = found["metrics"]
    found["metrics"] = measured.get("model", {})
    for name in ("metrics", "parameters", "libraries"):
        found[name] = ", ".join(f"{k} {console.cell(v)}" for k, v in leaves(found[name]).items())
    show(found, json)
    show_groups(model, measured)
    for name, rows in parts.items():
        if rows:
            console.show_table(
                list(rows[0]), [list(row.values()) for row in rows], title=f"\n{name}"
            )


@models.command("diff", epilog=example("models diff ltv 3 4"))
def diff_versions(
    context: typer.Context,
    model: Model,
    one: Annotated[int, typer.Argument(help="A version's number.")],
    other: Annotated[int, typer.Argument(help="Another's.")],
    json: JsonFlag = False,
) -> None:
    """Compare two versions: data, parameters, metrics, importances, answers on the same rows."""
    from treehouse.registry.diff import diff

    settings: Settings = context.obj
    with client_of(settings) as client:
        found = diff(client, settings, model, one, other)
    if json:
        console.show_json(found)
        return
    for part in ("training", "libraries", "parameters", "metrics", "importance"):
        rows = [
            (name, *pair)
            for name, pair in found[part].items()
            if pair[0] != pair[1] or name.startswith("model.")
        ]
        if rows:
            console.show_table((part, f"version {one}", f"version {other}"), rows)
            console.out.print()
    show(found["features"], json)
    if found["answers"]:
        console.out.print(f"Answers on the {found['rows']}:")
        show(found["answers"], json)
    if found["loss"]:
        show({f"loss of {one} against {other}": _loss(found["loss"])}, json)


def _loss(loss: Mapping[str, float]) -> str:
    return (
        f"{loss['ours']:.4g} against {loss['theirs']:.4g}; difference "
        f"{loss['ours'] - loss['theirs']:+.3g} (95 %: {loss['low']:+.3g} to {loss['high']:+.3g})"
    )


@app.command(rich_help_panel=_PANEL, epilog=example('promote ltv 2 --reason "sees the new ads"'))
def promote(
    context: typer.Context,
    model: Model,
    version: Number,
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Even if it was retired.")] = False,
    json: JsonFlag = False,
) -> None:
    """Let a version answer from the next query on."""
    from treehouse.registry.promotions import promote as run

    settings: Settings = context.obj
    with client_of(settings) as client:
        chosen = run(client, settings, model, version, reason, force=force)
    notice = "" if chosen.fits_contract else (
        f"It was trained for an older contract: only views that were built for that one ask it. "
        f"predict_{model}() as it is now does not."
    )  # fmt: skip
    show({"model": model, "champion": chosen.version, "notice": notice}, json)


@app.command(rich_help_panel=_PANEL, epilog=example('rollback ltv --reason "too high in Brazil"'))
def rollback(
    context: typer.Context, model: Model, reason: Reason = "", json: JsonFlag = False
) -> None:
    """Undo the last promotion: the version before it answers again, or none (NULL)."""
    from treehouse.registry.promotions import rollback as run

    settings: Settings = context.obj
    with client_of(settings) as client:
        chosen = run(client, settings, model, reason)
    show({"model": model, "champion": chosen.version if chosen else 0}, json)


@app.command(rich_help_panel=_PANEL, epilog=example('retire ltv 1 --reason "before the new ads"'))
def retire(
    context: typer.Context,
    model: Model,
    version: Number,
    reason: Reason = "",
    json: JsonFlag = False,
) -> None:
    """Take a version out of use: nothing promotes or rolls back to it, and gc may remove it."""
    from treehouse.registry.promotions import retire as run

    settings: Settings = context.obj
    with client_of(settings) as client:
        chosen = run(client, settings, model, version, reason)
    show({"model": model, "retired": chosen.version}, json)


@app.command(rich_help_panel=_PANEL, epilog=example("gc --keep 3 --yes"))
def gc(
    context: typer.Context,
    keep: Annotated[int, typer.Option(min=0, help="Retired versions of each model to keep.")] = 3,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; else they are listed.")] = False,
    json: JsonFlag = False,
) -> None:
    """Remove model files of retired versions; a dry run unless told --yes."""
    from treehouse.registry.garbage import collect, plan

    settings: Settings = context.obj
    with client_of(settings) as client:
        found = (collect if yes else plan)(client, settings, keep)
    if json:
        console.show_json({"removed": yes, "files": [item.__dict__ for item in found]})
        return
    if found:
        console.show_table(
            ("model", "version", "file", "bytes", "why"),
            [(i.model, i.version, f"{i.bundle:016x}.bundle", i.bytes, i.why) for i in found],
        )
    total = sum(item.bytes for item in found)
    what = "Removed" if yes else "Would remove (--yes does)"
    console.out.print(f"{what}: {len(found)} files, {total:,} bytes")


@app.command(rich_help_panel="Look inside", epilog=example("--target server sync --json"))
def sync(context: typer.Context, json: JsonFlag = False) -> None:
    """Bring this node's model files in line with the registry; exit 1 if one can't be had."""
    from treehouse.registry.sync import sync as run

    settings: Settings = context.obj
    with client_of(settings) as client:
        found = run(client, settings)
    changed = [item for item in found if item.found != "sound"]
    lost = sum(item.found == "lost" for item in changed)
    if json:
        console.show_json([item.__dict__ for item in found])
    else:
        if changed:
            columns = ("model", "version", "file", "found", "problem")
            console.show_table(columns, [list(item.__dict__.values()) for item in changed])
        sound, mended = len(found) - len(changed), len(changed) - lost
        console.out.print(f"{sound} files sound, {mended} brought in line, {lost} lost")
    if lost:
        raise typer.Exit(1)
