"""What the page is about: one version of a model, and the rows that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier, row_hash
from treehouse.clickhouse.ddl import is_there
from treehouse.fit.baselines import label_sql
from treehouse.fit.splits import fitted_rows
from treehouse.project.errors import TreehouseError
from treehouse.registry.scorer_call import Scored
from treehouse.registry.versions import Version, versions
from treehouse.spec.units import descriptions, label_unit

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.contract import Contract
    from treehouse.project.settings import Settings
    from treehouse.spec import Spec

OURS = ("answers", "actual", "predicted", "row_weight", "row_key")
"""Columns of the held-out rows, whatever features are called."""


class Missing(Exception):  # noqa: N818 - no error: the page says it in the section's place
    """Why a section of the page can't be filled: one sentence for people."""


@dataclass(frozen=True)
class Subject:
    """A version of a model on an engine.

    Attributes:
        version: The champion; if none answers, the newest version.
        published: All versions, newest first.
    """

    client: Client
    settings: Settings
    spec: Spec
    version: Version
    published: list[Version]

    def query(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query as dictionaries."""
        return list(self.client.query(sql, parameters=parameters).named_results())

    @property
    def contract(self) -> Contract:
        """The feature contract as it is now."""
        return self.spec.contract

    @property
    def registry(self) -> str:
        """The registry's database, quoted."""
        return identifier(self.settings.registry_database)

    @property
    def training_set(self) -> str:
        """The training set's name, quoted."""
        name = identifier(f"{self.spec.use_case}_training_set")
        return f"{identifier(self.settings.database)}.{name}"

    @property
    def who(self) -> str:
        """What a row is: the key without `_id`, in the plural."""
        return self.contract.keys[0].removesuffix("_id").replace("_", " ") + "s"

    @property
    def unit(self) -> str:
        """What the answer is counted in, as label_unit() has it."""
        return label_unit(self.spec)

    @property
    def texts(self) -> dict[str, str]:
        """Column to its description in the use case's YAML."""
        return descriptions(self.spec.use_case)

    @property
    def answers(self) -> str:
        """SQL of Array(Float64): the version's number, then its heads, for a row of features.

        Raises:
            Missing: The features are others by now.
        """
        if self.version.contract != self.contract.hash:
            raise Missing(
                f"Version {self.version.version} was trained for other features than those of "
                "today, so it can't be asked about today's rows. Retrain it."
            )
        kinds = ("numeric", "categorical", "tokens", "series")
        inputs = {kind: self.contract.of_kind(kind) for kind in kinds}
        version = self.version
        return Scored(version.bundle, version.heads, inputs, bool(version.networks)).answers()

    def held_out(self, *columns: str) -> str:
        """SQL of the held-out rows: `answers`, `actual`, `predicted`, `row_weight`, `row_key` and
        columns.

        They are the newest part of the training set as it is now, with labels; no version was
        fitted on them. Columns may hold window functions over the training rows.

        Raises:
            Missing: There are none, or they don't fit the version.
        """
        if not self._held_out_rows:
            raise Missing("The training set has no held-out rows. Build it: ./treehouse build")
        weight = f"toFloat64({identifier(self.contract.weight)})" if self.contract.weight else "1."
        more = "".join(f", {column}" for column in columns)
        key = row_hash(map(identifier, (*self.contract.keys, self.contract.time)))
        rows = fitted_rows(self.training_set, self.spec.fitted)
        return (
            f"select {self._columns}, treehouse_answers as answers, answers[2] as predicted, "
            "treehouse_actual as actual, treehouse_weight as row_weight, treehouse_key as row_key "
            f"from (select {self.answers} as treehouse_answers, * from ("
            f"select *, {label_sql(self.spec)} as treehouse_actual, {weight} as treehouse_weight, "
            f"{key} as treehouse_key{more} from {rows}) where split = 'test')"
        )

    @property
    def _columns(self) -> str:
        """SQL of the training set's columns, but for those that are called as one of ours is."""
        names = [feature.name for feature in self.contract.features]
        same = [identifier(name) for name in names if name in OURS]
        return f"* except ({', '.join(same)})" if same else "*"

    @cached_property
    def _held_out_rows(self) -> int:
        name = f"{self.spec.use_case}_training_set"
        if not is_there(self.client, self.settings.database, name):
            return 0
        rows = self.query(f"select count() as n from {self.training_set} where split = 'test'")
        return int(rows[0]["n"])


def find_subject(client: Client, settings: Settings, spec: Spec) -> Subject:
    """The champion of a use case, or its newest version.

    Raises:
        TreehouseError: Nothing is published.
    """
    found = versions(client, settings, spec.use_case)
    if not found:
        raise TreehouseError(
            f"Nothing of {spec.use_case} is published, so there is nothing to report.",
            fix=f"./treehouse train {spec.use_case} --promote",
        )
    fitting = [v for v in found if v.contract == spec.contract.hash and v.state == "published"]
    champions = [v for v in (*fitting, *found) if v.is_champion]
    return Subject(client, settings, spec, (champions or fitting or found)[0], found)
