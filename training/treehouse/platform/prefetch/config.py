"""How much may be asked in advance: var `prefetch` of dbt_project.yml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from treehouse.project.errors import TreehouseError
from treehouse.project.settings import parse_bytes, project_vars


@dataclass(frozen=True)
class Prefetch:
    """Limits of a pass; what is worth it is said in SQL, by vars of the same name.

    Attributes:
        pass_seconds: Between two passes; what ends before the next one is asked anew.
        recent_minutes: Of the log, in which the arguments are looked up.
        budget_seconds: Of the engine's time, at most; no query is begun beyond.
        budget_bytes: Read, likewise; as they were read before, for they are known only afterwards.
        concurrency: Queries at a time.
        threads: Of each.
        most_running: Queries of others, above which none is begun.
    """

    pass_seconds: float = 60.0
    recent_minutes: float = 120.0
    budget_seconds: float = 20.0
    budget_bytes: int = 10 * 2**30
    concurrency: int = 1
    threads: int = 1
    most_running: int = 4

    def __post_init__(self) -> None:
        least = {"concurrency": 1, "threads": 1}
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float) or value < least.get(field.name, 0):
                raise TreehouseError(
                    f"prefetch.{field.name} of dbt_project.yml can't be used.",
                    value=value,
                    expected=f"a number, {least.get(field.name, 0)} or more",
                )

    @classmethod
    def configured(cls, given: Mapping[str, Any] | None = None) -> Prefetch:
        """That of dbt_project.yml.

        Raises:
            TreehouseError: A limit is no number of its kind.
        """
        given = dict(project_vars().get("prefetch") or {} if given is None else given)
        own = {field.name: given[field.name] for field in fields(cls) if field.name in given}
        if isinstance(own.get("budget_bytes"), str):
            own["budget_bytes"] = parse_bytes(own["budget_bytes"])
        return cls(**own)
