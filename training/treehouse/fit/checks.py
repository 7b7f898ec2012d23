"""What a training set must be before anything is fitted, asked of the engine."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.clickhouse.client import identifier
from treehouse.fit.history import read_history, too_few_rows
from treehouse.project.errors import TreehouseError, first_line
from treehouse.project.types import fits
from treehouse.spec import Refit, Task

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import Spec

_FEWEST_ROWS = 50
_ABSENT = re.compile(r"UNKNOWN_(TABLE|DATABASE)|ACCESS_DENIED|[Cc]ode:? (60|81|497)\b")


def check_spec(spec: Spec) -> None:
    """Refuse a spec whose task there is not, that forecasts by what is no numeric feature, or
    that asks for an interval that there is not.

    Raises:
        TreehouseError: It names the field and what it may be.
    """
    numeric = spec.contract.of_kind("numeric")
    fields = {
        "task": get_args(Task),
        "refit": get_args(Refit),
        "known": ("", *numeric),
        "pace": ("", *numeric),
    }
    for name, known in fields.items():
        if (value := getattr(spec, name)) not in known:
            raise TreehouseError(
                f"The spec of {spec.use_case} has a {name} that there is not.",
                value=value,
                expected="one of " + ", ".join(filter(None, known)),
                fix=f"mend `{name}` in training/specs/{spec.use_case}.py",
            )

    if not (0 < spec.coverage < 1 and spec.interval_bins >= 1):
        raise TreehouseError(
            f"The spec of {spec.use_case} asks for an interval that there is not.",
            value=f"coverage {spec.coverage}, interval_bins {spec.interval_bins}",
            expected="a coverage between 0 and 1, such as 0.9, and at least 1 bin",
            fix=f"mend `coverage` or `interval_bins` in training/specs/{spec.use_case}.py",
        )


def with_known_truth(client: Client, table: str, spec: Spec) -> tuple[Spec, str]:
    """The spec, without `best_possible` where what it names is not in this engine or knows none of
    the rows; and why it was left out, "" where it was not.

    Args:
        table: The training set, quoted.

    Raises:
        TreehouseError: It is no SQL for another reason.
    """
    if not spec.best_possible:
        return spec, ""
    key = identifier(spec.contract.keys[0])
    try:
        known = client.query(
            f"select count() from (select 1 from {table} where toString({key}) in "
            f"(select toString(key) from ({spec.best_possible})) limit 1)"
        ).result_rows[0][0]
        client.query(f"select * from ({spec.best_possible}) limit 0")
    except ClickHouseError as error:
        text = first_line(error)
        if _ABSENT.search(text):
            return replace(spec, best_possible=""), "it is known of simulated data alone"
        raise TreehouseError(
            f"`best_possible` of {spec.use_case} can't be run.",
            value=text,
            fix=f"mend it in training/specs/{spec.use_case}.py",
        ) from error
    if not known:
        return replace(spec, best_possible=""), "the simulated data is of other rows or windows"
    return spec, ""


def check_columns(client: Client, settings: Settings, spec: Spec) -> None:
    """Refuse a training set that lacks a column, or has one of another type.

    Raises:
        TreehouseError: It names them.
    """
    contract = spec.contract
    name = f"{contract.use_case}_training_set"
    rows = client.query(
        "select name, type from system.columns where database = {d:String} and table = {t:String}",
        parameters={"d": settings.database, "t": name},
    ).result_rows
    found = {str(column): str(type_name) for column, type_name in rows}
    kinds = {f.name: f.kind for f in contract.features}
    kinds[contract.label] = "class" if spec.task == "classes" else "number"
    kinds |= dict.fromkeys([*spec.also, *filter(None, [contract.weight])], "number")
    others = (*contract.keys, contract.time, *filter(None, [contract.known_at]), "split")
    missing = [column for column in dict.fromkeys((*kinds, *others)) if column not in found]
    if missing:
        raise TreehouseError(
            f"{name} lacks columns of the contract." if found else f"{name} is not there.",
            value="missing: " + ", ".join(missing) if found else None,
            expected=contract.text,
            fix="run ./treehouse build",
        )
    wrong = [f"{c} {found[c]}" for c, kind in kinds.items() if not fits(found[c], kind)]
    if wrong:
        raise TreehouseError(
            f"{name} has columns of other types than the contract.",
            value=", ".join(wrong),
            expected="numbers where the contract says numeric, strings where categorical, arrays "
            "of strings for tokens and of numbers for series: " + contract.text,
            fix="run ./treehouse build; if it stays so, mend the data_type in "
            f"models/{contract.use_case}/{contract.use_case}.yml or cast in the model",
        )


def check_rows(
    client: Client, settings: Settings, spec: Spec, label: str, splits: tuple[str, ...]
) -> None:
    """Refuse a training set that nothing can be learned from, or that is wrong in some rows.

    Args:
        client: Of the engine.
        settings: Where the training set is.
        spec: Of the use case.
        label: The label as a number, as SQL.
        splits: Each needs rows.

    Raises:
        TreehouseError: It says how many rows are wrong or missing.
    """
    use_case, column = spec.use_case, spec.contract.label
    table = f"{identifier(settings.database)}.{identifier(use_case + '_training_set')}"
    counts = ", ".join(f"countIf(split = '{split}')" for split in splits)
    weight = f"toFloat64({identifier(spec.contract.weight)})" if spec.contract.weight else "1"
    *rows, distinct, wrong, unweighted, labels = client.query(
        f"select {counts}, uniqIf({identifier(column)}, split = 'train'),"
        f" countIf(not ifNull({_is_label(spec, label)}, 0)),"
        f" countIf(not ifNull(isFinite({weight}) and {weight} > 0, 0)),"
        f" groupUniqArrayIf({len(spec.classes) + 1})({label}, split = 'train') from {table}"
    ).result_rows[0]
    if few := [f"{s}: {n}" for s, n in zip(splits, rows, strict=True) if n < _FEWEST_ROWS]:
        history = read_history(client, settings, use_case)
        raise too_few_rows(use_case, ", ".join(few), _FEWEST_ROWS, history)
    if distinct < 2:
        raise TreehouseError(
            f"The label of {use_case} is the same in every training row.",
            value=f"{column} has {distinct} distinct values",
            expected="a label that varies",
            fix="check that the source's amounts were loaded: ./treehouse status",
        )
    shown = table.replace("`", "")
    if wrong:
        what, expected = _wanted(spec)
        raise TreehouseError(
            f"The label of {use_case} is {what} in some rows.",
            value=f"{wrong} rows",
            expected=expected,
            fix=f'./treehouse sql "select * from {shown} where not '
            f'ifNull({_is_label(spec, label).replace("`", "")}, 0)", then mend the model or the '
            "source",
        )
    if absent := [c for i, c in enumerate(spec.classes) if float(i) not in labels]:
        raise TreehouseError(
            f"{use_case} has classes without a training row.",
            value=", ".join(absent),
            expected="rows of every class in the split train",
            fix="load more history, or take the head out of the contract",
        )
    if unweighted:
        raise TreehouseError(
            f"The weight of {use_case} is not a positive number in some rows.",
            value=f"{unweighted} rows",
            expected=f"finite values of {spec.contract.weight} above 0",
            fix="mend the model",
        )


def _is_label(spec: Spec, label: str) -> str:
    """Whether a row's label may be, as SQL."""
    if spec.task == "value":
        return f"isFinite({label})"
    if spec.task == "sequence":
        return f"{label} = floor({label}) and {label} >= 0 and {label} < {2**53}"
    return f"{label} in (0, 1)" if spec.task == "probability" else f"{label} >= 0"


def _wanted(spec: Spec) -> tuple[str, str]:
    if spec.task == "value":
        return "not a number", f"finite values of {spec.contract.label}"
    if spec.task == "sequence":
        return "no whole number", "whole numbers from 0 to 2^53 - 1, which Float64 holds"
    if spec.task == "probability":
        return "neither 0 nor 1", "0 or 1: whether it happened"
    return "no class", "one of " + ", ".join(spec.classes)
