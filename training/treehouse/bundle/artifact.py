"""The bundle: what is promoted and rolled back as one, and its id."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from treehouse.bundle import container, programs, sections
from treehouse.bundle.expressions import Expression
from treehouse.bundle.networks import (
    Network,
    add_sections,
    check_networks,
    output_names,
    read_manifest,
)
from treehouse.forest.model import Forest
from treehouse.project.errors import TreehouseError

_MAX_VERSION = 2**32 - 1
_TERM = struct.Struct("<IId")


@dataclass(frozen=True)
class Inputs:
    """What a row brings, in the order of the scorer's arrays.

    A category's code is its position in its table. An empty string and one that is not in the
    table are missing (NaN) for the forests. Sequences, of strings (`tokens`) or of numbers
    (`series`), are for networks alone.
    """

    numeric: tuple[str, ...] = ()
    categorical: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()
    series: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What heads and forests may read."""
        return (*self.numeric, *self.categorical)

    def index(self, name: str) -> int:
        """Where an input stands: numeric ones first, then categorical ones."""
        try:
            return self.names.index(name)
        except ValueError:
            raise TreehouseError(
                "an input that the bundle does not declare",
                value=name,
                expected="one of " + ", ".join(self.names),
            ) from None


@dataclass(frozen=True)
class Bundle:
    """A model version with all that turns raw columns into its answers.

    Args:
        model: the use case's name.
        version: 1 to 2^32 - 1; the first element of every answer.
        contract: hash of the feature contract that it was trained for.
        inputs: numeric and categorical inputs.
        forests: each binds its features to inputs by name.
        heads: name to expression, in the order of the answer.
        info: anything that JSON holds (NaN and infinities too); the scorer skips it.
        explained: what explanations explain: a weighted sum of margins, {(forest, output):
            weight}; by default the first forest's first margin.
        networks: their outputs are further numeric inputs of heads and forests, by name.
    """

    model: str
    version: int
    contract: str
    inputs: Inputs
    forests: tuple[Forest, ...]
    heads: Mapping[str, Expression]
    info: Mapping[str, Any] = field(default_factory=dict)
    explained: Mapping[tuple[int, int], float] | None = None
    networks: tuple[Network, ...] = ()

    @property
    def scored(self) -> Inputs:
        """What the scorer takes: the numeric inputs, then the networks' outputs."""
        numeric = (*self.inputs.numeric, *output_names(self.networks))
        return Inputs(numeric, self.inputs.categorical)

    def to_bytes(self) -> bytes:
        """The file's content; equal bundles give equal bytes.

        Raises:
            TreehouseError: a name is bound to nothing, a version is out of range, or an
                expression asks for a forest or output that is not there.
        """
        self._check()
        scored = self.scored
        writer = container.Writer(self.version)
        writer.counts = (
            len(self.forests),
            len(self.heads),
            len(scored.numeric),
            len(scored.categorical),
        )
        names = (self.model, self.contract, *self.heads, *scored.names)
        writer.add(container.Kind.NAMES, 0, sections.strings(names))
        writer.add(container.Kind.INFO, 0, container.dump_json(self.info))
        for j, categories in enumerate(scored.categorical.values()):
            writer.add(container.Kind.CATEGORIES, j, sections.category_table(categories))
        code, tables = programs.assemble(self.heads, self.forests, scored.index)
        writer.add(container.Kind.PROGRAMS, 0, code)
        writer.add(container.Kind.TABLES, 0, tables)
        writer.add(container.Kind.EXPLAINED, 0, self._explained_terms())
        for i, forest in enumerate(self.forests):
            bound = [scored.index(name) for name in forest.features]
            for kind, content in sections.forest_sections(forest, bound):
                writer.add(kind, i, content)
        add_sections(writer, self.model, self.inputs, self.networks)
        return writer.finish()

    def _explained_terms(self) -> bytes:
        default = {(0, 0): 1.0} if self.forests else {}
        terms = default if self.explained is None else self.explained
        for forest, output in terms:
            programs.check_output(self.forests, forest, output)
        return b"".join(_TERM.pack(*where, weight) for where, weight in terms.items())

    def _check(self) -> None:
        if not 0 < self.version <= _MAX_VERSION:
            raise TreehouseError(
                "a version is out of range", value=self.version, expected=f"1 to {_MAX_VERSION}"
            )
        scored = self.scored
        names = (*scored.names, *self.inputs.tokens, *self.inputs.series)
        if len(set(names)) != len(names):
            raise TreehouseError("an input is named twice", value=names)
        if not self.heads:
            raise TreehouseError("a bundle without a head answers nothing", value=self.model)
        for forest in self.forests:
            for name in forest.features:
                scored.index(name)
        check_networks(self.networks, self.inputs)

    @staticmethod
    def read_header(data: bytes) -> dict[str, Any]:
        """What a bundle says of itself, after its checksum was compared.

        Returns:
            model, version, contract, heads, inputs ({"numeric": [...], "categorical":
            {name: [category, ...]}, "tokens": [...], "series": [...]}), networks (names of
            their outputs), info, and bundle (its id).

        Raises:
            TreehouseError: not a bundle, of another format version, truncated or altered.
        """
        reader = container.Reader(data)
        _, n_heads, n_numeric, n_categorical = reader.counts
        names = sections.read_strings(reader.section(container.Kind.NAMES, 0))
        model, contract, *rest = names
        networks = read_manifest(reader)
        n_own = n_numeric - len(networks["outputs"])
        heads, numeric = rest[:n_heads], rest[n_heads : n_heads + n_own]
        categorical = rest[n_heads + n_numeric :]
        tables = [
            sections.read_category_table(reader.section(container.Kind.CATEGORIES, j))
            for j in range(n_categorical)
        ]
        return {
            "model": model,
            "version": reader.version,
            "contract": contract,
            "heads": heads,
            "inputs": {
                "numeric": numeric,
                "categorical": dict(zip(categorical, tables, strict=True)),
                "tokens": networks["inputs"]["tokens"],
                "series": networks["inputs"]["series"],
            },
            "networks": networks["outputs"],
            "info": container.load_json(reader.section(container.Kind.INFO, 0)),
            "bundle": bundle_id(data),
        }


def bundle_id(data: bytes) -> int:
    """The UInt64 that SQL passes: the first 8 bytes of the file's SHA-256, big-endian.

    The file's name is the same in 16 lower-case hex digits, with the ending ``.bundle``.
    """
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
