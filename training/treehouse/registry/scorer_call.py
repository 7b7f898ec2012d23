"""A model file's answers over a table, as SQL: for versions that no SQL function names yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier
from treehouse.project.contract import load_contract

if TYPE_CHECKING:
    from treehouse.registry.versions import Version

KINDS = ("numeric", "categorical", "tokens", "series")
"""Of inputs, in the order in which the scorer takes them."""


@dataclass(frozen=True)
class Scored:
    """A model file, as it is called over columns of the names of its inputs.

    Attributes:
        bundle: Its id.
        heads: What it answers, in order.
        inputs: Names by the scorer's array: numeric, categorical, tokens, series.
        has_networks: Whether networks answer first; trees alone spare the second function.
    """

    bundle: int
    heads: tuple[str, ...]
    inputs: Mapping[str, Iterable[str]]
    has_networks: bool = False

    @classmethod
    def of_header(cls, header: Mapping[str, Any]) -> Scored:
        """From what a bundle says of itself."""
        return cls(
            header["bundle"], tuple(header["heads"]), header["inputs"], bool(header["networks"])
        )

    @classmethod
    def of_version(cls, version: Version) -> Scored | None:
        """From the registry; None where an older release did not keep what it takes."""
        features = version.features
        if not features and version.fits_contract:
            features = tuple((f.name, f.kind) for f in load_contract(version.model).features)
        inputs = {kind: [name for name, of in features if of == kind] for kind in KINDS}
        found = cls(version.bundle, version.heads, inputs, bool(version.networks))
        return found if features else None

    @property
    def columns(self) -> set[str]:
        """Names of all inputs."""
        return {name for names in self.inputs.values() for name in names}

    def answers(self) -> str:
        """SQL of Array(Float64): the version, then each head. A null is NaN or ''."""
        return answers_sql(self.bundle, self._arrays(), has_networks=self.has_networks)

    def contributions(self) -> str:
        """SQL of Array(Float64): the base value, then what each input adds to the margin."""
        arrays = self._arrays()
        return f"treehouse_explain({self.bundle}::UInt64, {arrays[0]}, {arrays[1]})"

    def _arrays(self) -> tuple[str, str, str, str]:
        """SQL of the four arrays; a product refuses text, dates and enums, as a cast would not."""
        named = {kind: list(map(identifier, self.inputs[kind])) for kind in KINDS}
        return (
            _filled([f"{name} * 1." for name in named["numeric"]], "Float64", "nan"),
            _filled([f"toString({name})" for name in named["categorical"]], "String", "''"),
            f"[{', '.join(named['tokens'])}]::Array(Array(String))",
            f"[{', '.join(named['series'])}]::Array(Array(Float64))",
        )


def answers_sql(bundle: int | str, arrays: Sequence[str], *, has_networks: bool) -> str:
    """SQL of a call with SQL of each array: numeric, categorical, tokens, series."""
    numeric, categorical, tokens, series = arrays
    if has_networks:
        networks = f"{bundle}::UInt64, {numeric}, {categorical}, {tokens}, {series}"
        numeric = f"arrayConcat({numeric}, treehouse_network({networks}))"
    return f"treehouse_score({bundle}::UInt64, {numeric}, {categorical})"


def _filled(elements: list[str], type_name: str, missing: str) -> str:
    if not elements:
        return f"emptyArray{type_name}()"
    return f"arrayMap(v -> ifNull(v, {missing}), [{', '.join(elements)}])"
