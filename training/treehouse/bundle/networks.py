"""The networks of a bundle: ONNX graphs with all that turns rows into their arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from treehouse.bundle import container
from treehouse.project.errors import TreehouseError
from udfs.network.inputs import NetworkInputs
from udfs.network.rows import COLUMNS, InputNames, names_of


@dataclass(frozen=True)
class Network:
    """An ONNX graph that answers some numbers for each row.

    `treehouse.network` makes them from scikit-learn and PyTorch models. The worker in
    `udfs/network/` answers them in the engine, as float32 computes them.

    Attributes:
        graph: The serialised ONNX model, its weights inside.
        inputs: How rows become the arrays that the graph takes.
        outputs: A name for each number of the answer. Heads read it as `e.feature(name)`, and
            forests may take it as a feature.
        answers: The graph's outputs that make up the answer, in order.
    """

    graph: bytes
    inputs: NetworkInputs
    outputs: tuple[str, ...]
    answers: tuple[str, ...]


def output_names(networks: Sequence[Network]) -> tuple[str, ...]:
    """The outputs of all networks, in the order of the worker's answer."""
    return tuple(name for network in networks for name in network.outputs)


def check_networks(networks: Sequence[Network], inputs: InputNames) -> None:
    """Refuse what the worker could not bind.

    Raises:
        TreehouseError: An input that the bundle does not declare, or a sequence of length 0.
    """
    for network in networks:
        for column, declared in names_of(inputs).items():
            unknown = [name for name in getattr(network.inputs, column) if name not in declared]
            if unknown:
                raise TreehouseError(
                    f"a network takes {column} inputs that the bundle does not declare",
                    value=", ".join(unknown),
                    expected="some of: " + ", ".join(declared),
                )
        for name, length in network.inputs.lengths.items():
            if length < 1:
                raise TreehouseError(f"the sequence {name} keeps none of its values", value=length)


def add_sections(
    writer: container.Writer, model: str, inputs: InputNames, networks: Sequence[Network]
) -> None:
    """The manifest, then each graph; nothing where there is no network."""
    if not networks:
        return
    manifest = {
        "model": model,
        "inputs": names_of(inputs),
        "networks": [
            {
                "inputs": network.inputs.as_json(),
                "outputs": network.outputs,
                "answers": network.answers,
            }
            for network in networks
        ],
    }
    writer.add(container.Kind.NETWORKS, 0, container.dump_json(manifest))
    for i, network in enumerate(networks):
        writer.add(container.Kind.GRAPH, i, network.graph)


def read_manifest(reader: container.Reader) -> dict[str, Any]:
    """What a file says of its networks: "inputs", names by column; "outputs", names in order."""
    manifest = container.load_json(reader.section(container.Kind.NETWORKS, 0))
    return {
        "inputs": {column: manifest.get("inputs", {}).get(column, []) for column in COLUMNS},
        "outputs": [name for n in manifest.get("networks", ()) for name in n["outputs"]],
    }
