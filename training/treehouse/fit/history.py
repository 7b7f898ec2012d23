"""What a training set was built by: its windows, its label in words, and the history behind it.

Windows are vars that say what features and labels mean, such as `ltv_horizon_days`; the training
set's description in the YAML names them (`ltv_horizon_days={{ var('ltv_horizon_days') }}`), and
dbt keeps it as the table's comment. A model `<use_case>_history`, where there is one, says in one
row what the history is long enough for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import is_there
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import own_vars_file, project_vars

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.contract import Contract
    from treehouse.project.settings import Settings

_WINDOW = re.compile(r"\b(\w+)=([\w.-]*\w)")


@dataclass(frozen=True)
class History:
    """A row of `<use_case>_history`.

    Attributes:
        history_days: Days that there are.
        needed_days: Days that the windows take.
        variable: The var to set where they are too few.
        fitting_value: Its largest value that they are enough for.
        least_value: Its least value that makes sense.
        note: What was chosen by the history, in words, or "".
    """

    history_days: int
    needed_days: int
    variable: str
    fitting_value: int
    least_value: int
    note: str


def read_history(client: Client, settings: Settings, use_case: str) -> History | None:
    """What the history is long enough for; None where the use case does not say, or has no rows."""
    name = f"{use_case}_history"
    if not is_there(client, settings.database, name):
        return None
    columns = ", ".join(field.name for field in fields(History))
    rows = client.query(
        f"select {columns} from {identifier(settings.database)}.{identifier(name)}"
    ).result_rows
    return History(*rows[0]) if rows else None


def read_windows(client: Client, settings: Settings, use_case: str) -> dict[str, str]:
    """The windows that the training set was built by, by name; none where it names none."""
    rows = client.query(
        "select comment from system.tables where database = {d:String} and name = {t:String}",
        parameters={"d": settings.database, "t": f"{use_case}_training_set"},
    ).result_rows
    return {
        name: value
        for name, value in _WINDOW.findall(rows[0][0] if rows else "")
        if name in project_vars()
    }


def check_windows(use_case: str, built: Mapping[str, str]) -> None:
    """Refuse a training set that was built by other vars than those of now: another label.

    Raises:
        TreehouseError: It names both.
    """
    now = {name: str(project_vars()[name]) for name in built}
    if other := [name for name in built if built[name] != now[name]]:
        told = ", ".join(f"{name}: {built[name]}" for name in other)
        raise TreehouseError(
            f"The training set of {use_case} was built by other vars than those of now.",
            value=told,
            expected=", ".join(f"{name}: {now[name]}" for name in other),
            fix=f"./treehouse build {use_case}; or keep its own by --vars '{{{told}}}', "
            f"for good in {own_vars_file()}",
        )


def label_text(client: Client, settings: Settings, contract: Contract) -> str:
    """What the label of the training set is, as its column's comment says, or ""."""
    rows = client.query(
        "select comment from system.columns where database = {d:String} and table = {t:String} "
        "and name = {c:String}",
        parameters={
            "d": settings.database,
            "t": f"{contract.use_case}_training_set",
            "c": contract.label,
        },
    ).result_rows
    return str(rows[0][0]) if rows else ""


def too_few_rows(use_case: str, found: str, fewest: int, history: History | None) -> TreehouseError:
    """The error of a training set with too few rows: how much history there is, how much it takes,
    and which var to set.

    Args:
        found: Rows by split, in words.
        fewest: Rows that each split needs.
        history: Of the use case, if it is known.
    """
    what = f"The training set of {use_case} has too few rows."
    expected = f"at least {fewest} in each split, of rows whose horizon has passed"
    load_more = "load more history (./treehouse load or simulate), then ./treehouse build"
    if history is None or history.needed_days <= history.history_days:
        return TreehouseError(what, value=found, expected=expected, fix=load_more)
    name = history.variable
    value = f"{found}; {history.history_days} days of history"
    expected += f": about {history.needed_days} days where {name} is {project_vars()[name]}"
    if history.fitting_value < history.least_value:
        return TreehouseError(what, value=value, expected=expected, fix=load_more)
    setting = f"{name}: {history.fitting_value}"
    return TreehouseError(
        what,
        value=value,
        expected=expected,
        fix=f"write {setting} into {own_vars_file()} (a shorter horizon is another label), then "
        f"./treehouse build {use_case} and train; once: ./treehouse train {use_case} "
        f"--vars '{setting}'; or {load_more}",
    )
