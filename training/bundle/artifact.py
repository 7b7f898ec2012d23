"""The bundle: what is promoted and rolled back as one, and its id."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.bundle import container, programs, sections
from training.bundle.expressions import Expression
from training.errors import TreehouseError
from training.forest.model import Forest

_MAX_VERSION = 2**32 - 1
_TERM = struct.Struct("<IId")


@dataclass(frozen=True)
class Inputs:
    """What a row brings, in the order of the scorer's arrays.

    A category's code is its position in its table. An empty string and one that is not in the
    table are missing (NaN) for the forests.
    """

    numeric: tuple[str, ...] = ()
    categorical: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
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
    """

    model: str
    version: int
    contract: str
    inputs: Inputs
    forests: tuple[Forest, ...]
    heads: Mapping[str, Expression]
    info: Mapping[str, Any] = field(default_factory=dict)
    explained: Mapping[tuple[int, int], float] | None = None

    def to_bytes(self) -> bytes:
        """The file's content; equal bundles give equal bytes.

        Raises:
            TreehouseError: a name is bound to nothing, a version is out of range, or an
                expression asks for a forest or output that is not there.
        """
        self._check()
        writer = container.Writer(self.version)
        writer.counts = (
            len(self.forests),
            len(self.heads),
            len(self.inputs.numeric),
            len(self.inputs.categorical),
        )
        names = (self.model, self.contract, *self.heads, *self.inputs.names)
        writer.add(container.Kind.NAMES, 0, sections.strings(names))
        writer.add(container.Kind.INFO, 0, container.dump_json(self.info))
        for j, categories in enumerate(self.inputs.categorical.values()):
            writer.add(container.Kind.CATEGORIES, j, sections.category_table(categories))
        code, tables = programs.assemble(self.heads, self.forests, self.inputs.index)
        writer.add(container.Kind.PROGRAMS, 0, code)
        writer.add(container.Kind.TABLES, 0, tables)
        writer.add(container.Kind.EXPLAINED, 0, self._explained_terms())
        for i, forest in enumerate(self.forests):
            bound = [self.inputs.index(name) for name in forest.features]
            for kind, content in sections.forest_sections(forest, bound):
                writer.add(kind, i, content)
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
        names = self.inputs.names
        if len(set(names)) != len(names):
            raise TreehouseError("an input is named twice", value=names)
        if not self.heads:
            raise TreehouseError("a bundle without a head answers nothing", value=self.model)
        for forest in self.forests:
            for name in forest.features:
                self.inputs.index(name)

    @staticmethod
    def read_header(data: bytes) -> dict[str, Any]:
        """What a bundle says of itself, after its checksum was compared.

        Returns:
            model, version, contract, heads, inputs ({"numeric": [...], "categorical":
            {name: [category, ...]}}), info, and bundle (its id).

        Raises:
            TreehouseError: not a bundle, of another format version, truncated or altered.
        """
        reader = container.Reader(data)
        _, n_heads, n_numeric, n_categorical = reader.counts
        names = sections.read_strings(reader.section(container.Kind.NAMES, 0))
        model, contract, *rest = names
        heads, numeric = rest[:n_heads], rest[n_heads : n_heads + n_numeric]
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
            },
            "info": container.load_json(reader.section(container.Kind.INFO, 0)),
            "bundle": bundle_id(data),
        }


def bundle_id(data: bytes) -> int:
    """The UInt64 that SQL passes: the first 8 bytes of the file's SHA-256, big-endian.

    The file's name is the same in 16 lower-case hex digits, with the ending ``.bundle``.
    """
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
