"""The published versions, read from the registry: nothing here writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier
from treehouse.project.contract import contracts, load_contract
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True)
class Version:
    """One published version, as the registry knows it.

    Attributes:
        state: "incomplete" (the publisher was stopped before the end), "published", "retired", or
            "collected" (retired, and its files are gone).
        is_champion: Whether it answers now for its contract.
        features: Name and kind of each argument that it was trained for, in order.
        networks: Outputs of its networks; empty where there are trees alone.
        holdout_from: Time of the first test row; the year 1970 where it is not known.
    """

    model: str
    version: int
    created_at: datetime
    contract: str
    bundle: int
    bytes: int
    sha256: str
    heads: tuple[str, ...]
    features: tuple[tuple[str, str], ...]
    networks: tuple[str, ...]
    spec_hash: str
    training_from: datetime
    training_to: datetime
    training_rows: int
    training_fingerprint: int
    holdout_from: datetime
    holdout_rows: int
    libraries: dict[str, str]
    parameters: dict[str, Any]
    metrics: dict[str, Any]
    state: str
    is_champion: bool

    @property
    def fits_contract(self) -> bool:
        """Whether `predict_<model>()` as it is now asks this version; views may be older."""
        known = contracts().get(self.model)
        return known is not None and known.hash == self.contract


def versions(client: Client, settings: Settings, model: str | None = None) -> list[Version]:
    """Every version, newest first. It only reads; the champion is whom the engine itself asks.

    Raises:
        TreehouseError: There is no registry.
    """
    try:
        result = client.query(_versions_sql(settings), parameters={"model": model or ""})
    except ClickHouseError:
        check_registry(client, settings)  # says it in clear words
        raise
    return [_version(row) for row in result.named_results()]


def _versions_sql(settings: Settings) -> str:
    registry = identifier(settings.registry_database)
    stored = ", ".join(f"versions.{name} as {name}" for name in sorted(_STORED - {"sha256"}))
    return f"""
        with lives as (
            select model, version, argMax(action, at) as action
            from {registry}.events
            where version > 0
            group by model, version
        )
        select
            {stored},
            toString(versions.sha256) as sha256,
            multiIf(
                lives.action = '', 'incomplete', lives.action = 'retire', 'retired',
                lives.action = 'collect', 'collected', 'published'
            ) as state,
            champions.version = versions.version as is_champion
        from {registry}.versions as versions
        left join lives
            on versions.model = lives.model and versions.version = lives.version
        left join {registry}.champions as champions
            on versions.model = champions.model and versions.contract = champions.contract
        where {{model:String}} in ('', versions.model)
        order by versions.model, versions.version desc
    """


def _version(row: dict[str, Any]) -> Version:
    parsed = {name: json.loads(row[name]) for name in ("parameters", "metrics")}
    parsed["features"] = tuple((f["name"], f["kind"]) for f in row["features"])
    parsed |= {name: tuple(row[name]) for name in ("heads", "networks")}
    values = row | parsed | {"is_champion": bool(row["is_champion"])}
    return Version(**{name: values[name] for name in Version.__dataclass_fields__})


def find_version(client: Client, settings: Settings, model: str, version: int) -> Version:
    """One version.

    Raises:
        TreehouseError: It was never published.
    """
    load_contract(model)
    found = versions(client, settings, model)
    for candidate in found:
        if candidate.version == version:
            return candidate
    there = ", ".join(str(v.version) for v in reversed(found)) or "none yet"
    raise TreehouseError(
        f"{model} has no such version.",
        value=version,
        expected=f"one of: {there}",
        fix="./treehouse models" if found else f"./treehouse train {model} --publish",
    )


def check_registry(client: Client, settings: Settings) -> None:
    """See that there is a registry, made or migrated by this release.

    Raises:
        TreehouseError: There is none, or it lacks columns.
    """
    columns = client.query(
        "select name from system.columns where database = {d:String} and table = 'versions'",
        parameters={"d": settings.registry_database},
    ).result_rows
    missing = _STORED - {name for (name,) in columns}
    if not columns:
        raise TreehouseError(
            "There is no registry yet, or this user may not see it.",
            value=settings.registry_database,
            fix="./treehouse build makes an empty one; ./treehouse demo fills it",
        )
    if missing:
        raise TreehouseError(
            "The registry was made by an older release.",
            value=f"{settings.registry_database}.versions lacks {', '.join(sorted(missing))}",
            fix="./treehouse build, which adds what is missing and changes no row",
        )


_STORED = set(Version.__dataclass_fields__) - {"state", "is_champion"}
