"""The scorer through a pipe: blocks of ClickHouse's Buffers format in and out. Test helper."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle import Bundle, bundle_id

Floats = NDArray[np.float64]
#: The engine leaves anything under a NULL.
UNDER_NULL = (7.5, "DE")


def varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 128:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(len(raw)) + raw


def block(
    bundles: Sequence[int],
    numeric: Sequence[Sequence[float | None]] | Floats,
    categorical: Sequence[Sequence[str | None]],
) -> bytes:
    """One block of (bundle, numeric, categorical), as the engine would send it; None is NULL."""
    rows = len(bundles)

    def offsets(arrays: Sequence[Sequence[object]]) -> bytes:
        return np.cumsum([len(a) for a in arrays], dtype="<u8").tobytes() if rows else b""

    def nulls(values: Sequence[object]) -> bytes:
        return bytes(value is None for value in values)

    if isinstance(numeric, np.ndarray):
        numbers, are_null = numeric, bytes(numeric.size)
    else:
        flat = [x for row in numeric for x in row]
        numbers, are_null = np.array([UNDER_NULL[0] if x is None else x for x in flat]), nulls(flat)
    texts = [s for row in categorical for s in row]
    strings = b"".join(text(UNDER_NULL[1] if s is None else s) for s in texts)
    columns = (
        np.array(bundles, "<u8").tobytes(),
        offsets(numeric) + are_null + numbers.astype("<f8").tobytes(),
        offsets(categorical) + nulls(texts) + strings,
    )
    return number(3) + number(rows) + b"".join(number(len(c)) + c for c in columns)


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def answers(data: bytes) -> list[Floats]:
    """The rows of every answering block, end to end."""
    rows: list[Floats] = []
    while data:
        columns, count, size = (int(n) for n in np.frombuffer(data[:24], "<u8"))
        assert columns == 1
        assert len(data) >= 24 + size
        ends = np.frombuffer(data[24 : 24 + 8 * count], "<u8").astype(np.int64)
        values = np.frombuffer(data[24 + 8 * count : 24 + size], "<f8")
        rows += np.split(values, ends[:-1]) if count else []
        data = data[24 + size :]
    return rows


def mended(data: bytes) -> bytes:
    """A model file with a length and a checksum that fit: what else is wrong with it shows."""
    checked = len(data).to_bytes(8, "little") + data[24:]
    return data[:12] + zlib.crc32(checked).to_bytes(4, "little") + checked


class Scorer:
    """A folder of published bundles and the binary that serves them."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary, self.folder = binary, folder

    def publish(self, bundle: Bundle | bytes) -> int:
        data = bundle.to_bytes() if isinstance(bundle, Bundle) else bundle
        number = bundle_id(data)
        (self.folder / f"{number:016x}.bundle").write_bytes(data)
        return number

    def run(self, data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self.binary), *arguments, "--files", str(self.folder)]
        return subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)

    def score(
        self,
        bundle: Bundle | int,
        numeric: Floats,
        categorical: Sequence[Sequence[str | None]] | None = None,
    ) -> Floats:
        """float64[rows, heads]: the heads of every row, without the version."""
        number = self.publish(bundle) if isinstance(bundle, Bundle) else bundle
        rows = len(numeric)
        strings = categorical if categorical is not None else [()] * rows
        done = self.run(block([number] * rows, numeric, strings))
        assert done.returncode == 0, done.stderr.decode()
        return np.array(answers(done.stdout))[:, 1:]
