"""The container: header, section table, checksum. The scorer's twin is `udfs/scorer/bundle.cpp`.

Little-endian. A 64-byte header, a table of 32-byte entries (kind, index, offset, length), then
the sections, each at a multiple of 64 bytes. The CRC-32 (the one of zlib and PNG) covers
everything from byte 16 to the end; bytes 0 to 15 are compared as they are.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from enum import IntEnum
from typing import Any

import numpy as np

from treehouse.project.errors import TreehouseError

MAGIC = b"TREEHOUS"
FORMAT_VERSION = 1
_HEADER = struct.Struct("<8sIIQIIIIII16x")
_ENTRY = struct.Struct("<IIQQQ")
_ALIGN = 64
_CHECKED_FROM = 16


class Kind(IntEnum):
    """Sections; the numbers are part of the file format."""

    NAMES = 1
    INFO = 2
    CATEGORIES = 3
    PROGRAMS = 4
    TABLES = 5
    EXPLAINED = 6
    FOREST = 16
    BINDING = 17
    BASE = 18
    NODES = 19
    TREES = 20
    WORDS = 21
    VECTORS = 22
    COVER = 23
    RANKS = 32
    LANES = 33
    WALK = 34
    NETWORKS = 48
    GRAPH = 49


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


class Writer:
    """Collects sections and lays them out."""

    def __init__(self, version: int) -> None:
        self.version = version
        #: forests, heads, numeric inputs, categorical inputs
        self.counts = (0, 0, 0, 0)
        self._sections: list[tuple[int, int, bytes]] = []

    def add(self, kind: Kind, index: int, content: bytes) -> None:
        self._sections.append((int(kind), index, content))

    def finish(self) -> bytes:
        """The whole file."""
        offset = _aligned(_HEADER.size + _ENTRY.size * len(self._sections))
        table, body = b"", []
        position = _HEADER.size + _ENTRY.size * len(self._sections)
        for kind, index, content in self._sections:
            table += _ENTRY.pack(kind, index, offset, len(content), 0)
            body.append(b"\0" * (offset - position) + content)
            position = offset + len(content)
            offset = _aligned(position)
        body.append(b"\0" * (offset - position))
        rest = table + b"".join(body)
        total = _HEADER.size + len(rest)
        crc, header = 0, b""
        for _ in range(2):  # the header holds the checksum, and a part of it is checked
            header = _HEADER.pack(
                MAGIC, FORMAT_VERSION, crc, total, self.version, len(self._sections), *self.counts
            )
            crc = zlib.crc32(rest, zlib.crc32(header[_CHECKED_FROM:]))
        return header + rest


class Reader:
    """Checks a file and finds its sections."""

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEADER.size or not data.startswith(MAGIC):
            raise TreehouseError(
                "this is not a Treehouse bundle",
                value=data[:8],
                expected=f"a file that begins with {MAGIC!r}",
            )
        _, fmt, crc, total, self.version, n_sections, *counts = _HEADER.unpack_from(data)
        if fmt != FORMAT_VERSION:
            raise TreehouseError(
                "the bundle is of another format version",
                value=fmt,
                expected=str(FORMAT_VERSION),
                fix="publish the model again with this version of Treehouse",
            )
        if total != len(data) or zlib.crc32(data[_CHECKED_FROM:]) != crc:
            raise TreehouseError(
                "the bundle is damaged: its length or checksum does not match",
                value=f"{len(data)} bytes",
                expected=f"{total} bytes",
                fix="publish the model again",
            )
        self.counts: tuple[int, ...] = tuple(counts)
        self._data = data
        self._where: dict[tuple[int, int], tuple[int, int]] = {}
        for i in range(n_sections):
            kind, index, offset, length, _ = _ENTRY.unpack_from(
                data, _HEADER.size + i * _ENTRY.size
            )
            self._where[kind, index] = (offset, length)

    def section(self, kind: Kind, index: int) -> bytes:
        """The content of a section; empty if there is none."""
        offset, length = self._where.get((int(kind), index), (0, 0))
        return self._data[offset : offset + length]


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: they travel as {"float": "nan"}."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _restored(pairs: dict[str, Any]) -> Any:
    if len(pairs) == 1 and pairs.get("float") in ("nan", "inf", "-inf"):
        return float(pairs["float"])
    return pairs


def dump_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys; NumPy numbers and arrays, NaN and infinities are allowed."""
    try:
        text = json.dumps(
            _plain(value), allow_nan=False, sort_keys=True, separators=(",", ":"), ensure_ascii=True
        )
    except TypeError as error:
        raise TreehouseError("the bundle's info does not fit into JSON", value=error) from error
    return text.encode()


def load_json(data: bytes) -> Any:
    """The inverse of :func:`dump_json`."""
    return json.loads(data or b"{}", object_hook=_restored)
