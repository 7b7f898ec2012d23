"""How much may be asked in advance: var `prefetch` of dbt_project.yml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.errors import TreehouseError
from training.settings import project_vars


@dataclass(frozen=True)
class Prefetch:
    """Limits of a pass; those of what is worth it are in SQL.

    Attributes:
        budget_seconds: Of the engine's time, at most; no query is begun beyond.
        concurrency: Queries at a time.
        most_running: Queries of others, above which nothing is begun.
    """

    budget_seconds: float = 20.0
    concurrency: int = 1
    most_running: int = 4

    @classmethod
    def configured(cls, given: Mapping[str, Any] | None = None) -> Prefetch:
        """That of dbt_project.yml.

        Raises:
            TreehouseError: A limit is no number of its kind.
        """
        given = project_vars().get("prefetch") or {} if given is None else given
        found = {name: given.get(name, getattr(cls, name)) for name in cls.__dataclass_fields__}
        for name, value in found.items():
            least = 1 if name == "concurrency" else 0
            if not isinstance(value, int | float) or isinstance(value, bool) or value < least:
                raise TreehouseError(
                    f"prefetch.{name} of dbt_project.yml can't be used.",
                    value=value,
                    expected=f"a number of at least {least}",
                )
        return cls(
            float(found["budget_seconds"]), int(found["concurrency"]), int(found["most_running"])
        )
