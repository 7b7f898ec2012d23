"""The network worker: Arrow streams in and out, as the engine speaks. Test helper."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.support.networks import INPUTS, lstm, mlp
from treehouse.bundle import Bundle, Network, bundle_id, e
from udfs.network import pack
from udfs.network.models import Store
from udfs.network.worker import serve


def bundle_of(*networks: Network, version: int = 1, factor: float = 1.0) -> Bundle:
    """A bundle whose heads are what its networks answer, times a factor."""
    names = [name for network in networks for name in network.outputs]
    heads = {name: e.feature(name) * factor for name in names} or {"none": e.const(0)}
    return Bundle("nets", version, "c", INPUTS, (), heads, networks=networks)


def both_networks(version: int = 1) -> Bundle:
    """A bundle with the MLP and the LSTM."""
    return bundle_of(mlp(), lstm(), version=version)


def block(bundles: Sequence[int], batch: pa.RecordBatch, parts: int = 1) -> bytes:
    """One block, in one or several record batches."""
    table = pa.Table.from_batches([batch])
    table = table.add_column(0, "bundle", pa.array(bundles, pa.uint64()))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=-(-batch.num_rows // parts))
    return sink.getvalue()


def answers(data: bytes, blocks: Sequence[int]) -> list[list[float]]:
    """The rows of the answers to blocks of so many rows; nothing may be left over."""
    source, rows = io.BytesIO(data), []
    for wanted in blocks:
        stream = pa.ipc.open_stream(source)
        found: list[list[float]] = []
        while len(found) < wanted:  # as the engine does: it never reads an end marker
            found += stream.read_next_batch().column("outputs").to_pylist()
        assert len(found) == wanted
        rows += found
    assert source.read() == b""
    return rows


class NetworkWorker:
    """A folder of model files, and the program that serves them."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "user_files" / "treehouse"
        self.files.mkdir(parents=True)
        self.store = Store(self.files)
        self.program = pack.write(folder / "user_scripts" / pack.NAME, [sys.executable])

    def publish(self, bundle: Bundle | bytes) -> int:
        """Its file; the id."""
        data = bundle.to_bytes() if isinstance(bundle, Bundle) else bundle
        self.path(bundle_id(data)).write_bytes(data)
        return bundle_id(data)

    def path(self, bundle: int) -> Path:
        """Where a model file lies."""
        return self.files / f"{bundle:016x}.bundle"

    def serve(self, data: bytes, blocks: Sequence[int]) -> list[list[float]]:
        """The answers to blocks of so many rows, by the worker's code in this process."""
        target = io.BytesIO()
        source = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
        writer = io.BufferedWriter(target)  # type: ignore[arg-type]
        errors: list[Exception] = []
        serve(source, writer, self.store, errors.append)
        if errors:
            raise errors[0]
        return answers(target.getvalue(), blocks)

    def run(self, data: bytes) -> subprocess.CompletedProcess[bytes]:
        """A process that is given these blocks and then the end."""
        return subprocess.run(
            [self.program], input=data, capture_output=True, timeout=60, check=False
        )

    def answer(self, bundles: Sequence[int], batch: pa.RecordBatch) -> list[list[float]]:
        """The answer to one block."""
        return self.serve(block(bundles, batch), [batch.num_rows])

    def matrix(self, bundle: Bundle | int, batch: pa.RecordBatch) -> np.ndarray:
        """float64[rows, outputs] of one bundle."""
        number = bundle if isinstance(bundle, int) else self.publish(bundle)
        return np.array(self.answer([number] * batch.num_rows, batch))
