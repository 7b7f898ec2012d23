"""How an export is written: the options of all commands that read one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.errors import TreehouseError

if TYPE_CHECKING:
    from training.intake.reading import Reading

Format = Annotated[
    str | None,
    typer.Option("--format", help="csv, tsv, json, parquet: where the name does not say it."),
]
Delimiter = Annotated[
    str | None,
    typer.Option(help="Between columns of CSV, or `tab`. Default: found in the first line."),
]
Decimal = Annotated[str | None, typer.Option(help="Decimal mark: . or ,")]
Thousands = Annotated[
    str | None, typer.Option(help="Mark between thousands: , . _ ' or a blank. Default: none.")
]
DateFormat = Annotated[
    str | None,
    typer.Option(help="%d.%m.%Y %H:%M or dd.MM.yyyy HH:mm. Default: ISO 8601, or s, ms, us, ns."),
]
TimeZone = Annotated[
    str | None, typer.Option(help="Of times without one: Europe/Berlin. Default: UTC.")
]
Refunds = Annotated[
    str | None,
    typer.Option(help="net, drop or quarantine. Default: net for events, else quarantine."),
]
Rates = Annotated[
    str | None,
    typer.Option(help="CSV: currency, usd (for one unit), since (a day, if rates change)."),
]
Renamed = Annotated[
    list[str] | None, typer.Option("--map", help="theirs=ours, for a column; repeatable.")
]
Preset = Annotated[
    str | None,
    typer.Option(help="Whose export it is, such as amplitude; a wrong name lists all."),
]
MappingFile = Annotated[
    Path | None,
    typer.Option(help="A file with all this, as --print writes it; options go above it."),
]


def reading_of(
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
    from training.intake.reading import Reading, read_mapping, read_preset

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
