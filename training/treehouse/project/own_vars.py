"""Vars of one's own: what a person sets in place of the values in dbt_project.yml."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import yaml

from treehouse.project.errors import TreehouseError
from treehouse.project.names import check_words

_EXAMPLE = "'ltv_horizon_days: 30', or '{name: value, name: value}'"
_KINDS = {bool: "true or false", str: "text", list: "a list", dict: "names and values"}


def parse_vars(text: str) -> dict[str, Any]:
    """Vars from the text of `--vars`, as dbt takes it: YAML, of which JSON is a part.

    Raises:
        TreehouseError: It is no mapping of names to values.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = text
    return as_vars(found, "--vars", text)


def as_vars(found: Any, where: str, shown: object = None) -> dict[str, Any]:
    """What YAML said, as names and values; nothing is no vars.

    Raises:
        TreehouseError: It is no mapping of names to values.
    """
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise TreehouseError(
            "Vars could not be read.",
            value=f"{where}: {found if shown is None else shown}",
            expected=f"names and values, as {_EXAMPLE}",
        )
    check_words(found, "vars", where)
    return found


def check_vars(own: Mapping[str, Any], project: Mapping[str, Any], where: str) -> None:
    """Refuse a value of another kind than the project's, and a name that is nearly one of its vars.

    Other names pass: they may be of models that are not here.

    Raises:
        TreehouseError: It names the var and what was expected.
    """
    for name, value in own.items():
        if name not in project:
            close = difflib.get_close_matches(name, project, n=1, cutoff=0.85)
            if close and not name.endswith("_monitoring_days"):
                raise TreehouseError(
                    "There is no such var.", value=f"{name} in {where}", fix=f"write {close[0]}"
                )
        elif not _is_alike(value, project[name]):
            raise TreehouseError(
                "A var has a value of another kind than it must be.",
                value=f"{name}: {value} in {where}",
                expected=f"{_kind_of(project[name])}, such as {project[name]}",
            )


def _is_alike(value: Any, known: Any) -> bool:
    if isinstance(known, bool) or isinstance(value, bool):
        return isinstance(known, bool) and isinstance(value, bool)
    if isinstance(known, int):  # a count: of days, rows, seconds
        return isinstance(value, int) and value >= 0
    if isinstance(known, float):
        return isinstance(value, int | float)
    return isinstance(value, type(known))


def _kind_of(known: Any) -> str:
    if isinstance(known, float):
        return "a number"
    return _KINDS.get(type(known), "a whole number, 0 or more")
