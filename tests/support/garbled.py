"""A training set whose labels are wrong in some splits: what then moves has read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier, literal, run_script
from treehouse.project.settings import Settings
from treehouse.spec import Spec

_DATABASE = "treehouse_garbled"


def garble(client: Client, settings: Settings, spec: Spec, splits: Sequence[str]) -> Settings:
    """Settings of a database where all is as it was, but for the labels of some splits."""
    table = f"{spec.use_case}_training_set"
    names = client.query(
        "select name from system.tables where database = {d:String} and name != {t:String}",
        parameters={"d": settings.database, "t": table},
    ).result_rows
    there, here = identifier(settings.database), identifier(_DATABASE)
    views = [
        f"create view {here}.{identifier(name)} as select * from {there}.{identifier(name)}"
        for (name,) in names
        if not name.startswith(".")
    ]
    source = f"{there}.{identifier(table)}"
    chosen = f"split in ({', '.join(map(literal, splits))})"
    wrong = ", ".join(
        f"cast(if({chosen}, {_wrong(client, spec, source, name)}, {identifier(name)}), "
        f"toTypeName({identifier(name)})) as {identifier(name)}"
        for name in (spec.contract.label, *spec.also)
    )
    run_script(
        client,
        [
            f"drop database if exists {here} sync",
            f"create database {here} engine = Atomic",
            *views,
            f"create table {here}.{identifier(table)} as {source}",
            f"insert into {here}.{identifier(table)} select * replace ({wrong}) from {source}",
        ],
    )
    return replace(settings, database=_DATABASE)


def _wrong(client: Client, spec: Spec, source: str, name: str) -> str:
    """SQL of another label that the task allows."""
    label = identifier(name)
    if name in spec.also or spec.task == "value":
        return f"{label} * 3 + ({label} != 0) * (50 + cityHash64({label}) % 100)"
    if spec.task == "probability":
        return f"1 - {label}"
    labels = client.query(f"select distinct {label} from {source} order by 1").result_rows
    known = [literal(value) if isinstance(value, str) else str(value) for (value,) in labels]
    return f"transform({label}, [{', '.join(known)}], [{', '.join(known[1:] + known[:1])}])"
