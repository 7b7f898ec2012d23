"""How an export is written: the options of all commands that read one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from treehouse.ingest.reading import Reading, read_mapping, read_preset
from treehouse.project.errors import TreehouseError

_Text = str | None
_OPTIONS: dict[str, Any] = {
    "format": Annotated[
        _Text, typer.Option(help="csv, tsv, json, parquet: where the name does not say it.")
    ],
    "delimiter": Annotated[
        _Text,
        typer.Option(help="Between columns of CSV, or `tab`. Default: found in the first line."),
    ],
    "decimal": Annotated[_Text, typer.Option(help="Decimal mark: . or ,")],
    "thousands": Annotated[
        _Text, typer.Option(help="Mark between thousands: , . _ ' or a blank. Default: none.")
    ],
    "date_format": Annotated[
        _Text,
        typer.Option(
            help="%d.%m.%Y %H:%M or dd.MM.yyyy HH:mm. Default: ISO 8601, or s, ms, us, ns."
        ),
    ],
    "time_zone": Annotated[
        _Text, typer.Option(help="Of times without one: Europe/Berlin. Default: UTC.")
    ],
    "refunds": Annotated[
        _Text,
        typer.Option(help="net, drop or quarantine. Default: net for events, else quarantine."),
    ],
    "rates": Annotated[
        _Text,
        typer.Option(help="CSV: currency, usd (for one unit), since (a day, if rates change)."),
    ],
    "renamed": Annotated[
        list[str] | None, typer.Option("--map", help="theirs=ours, for a column; repeatable.")
    ],
    "preset": Annotated[
        _Text, typer.Option(help="Whose export it is, such as amplitude; a wrong name lists all.")
    ],
    "mapping": Annotated[
        Path | None,
        typer.Option(help="A file with all this, as --print writes it; options go above it."),
    ],
}


def takes_reading(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command of a `source` these options in place of its keyword `reading`."""
    signature = inspect.signature(command, eval_str=True)

    @wraps(command)
    def run(source: str, **given: Any) -> None:
        said = {name: given.pop(name) for name in _OPTIONS}
        command(source=source, reading=_reading(source, **said), **given)

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "reading":
            parameters += [
                parameter.replace(name=name, default=None, annotation=option)
                for name, option in _OPTIONS.items()
            ]
        else:
            parameters.append(parameter)
    # Both are what typer makes the command line of.
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _reading(
    source: str,
    preset: str | None,
    mapping: Path | None,
    renamed: list[str] | None,
    **options: str | None,
) -> Reading:
    """What the options say, above the preset or the mapping file.

    Raises:
        TreehouseError: Both are given, or one of all that can't be read.
    """
    if preset and mapping:
        raise TreehouseError(
            "A preset and a mapping are two of the same kind.",
            value=f"--preset {preset} --mapping {mapping}",
            expected="one of them",
            fix=f"./treehouse load {source} --preset {preset} --print > mapping.yml, and edit that",
        )
    base = read_preset(preset, source) if preset else Reading()
    reading = read_mapping(mapping) if mapping else base
    return reading.with_options(_columns(renamed or []), **options)


def _columns(pairs: list[str]) -> dict[str, str]:
    """Names of the origin by the contract's, from `theirs=ours`."""
    mapping: dict[str, str] = {}
    for pair in pairs:
        theirs, is_pair, ours = pair.rpartition("=")
        if not (theirs and is_pair and ours) or ours in mapping:
            raise TreehouseError(
                "A mapping of columns could not be read.",
                value=pair,
                expected="<their column>=<column of the contract>, each of the contract's once",
                fix="for example --map buyer=customer_id",
            )
        mapping[ours] = theirs
    return mapping
