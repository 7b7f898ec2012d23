"""Runs `clickhouse-local` out of the engine's shared library: LIBRARY [ARGUMENT]..."""

from __future__ import annotations

import ctypes
import sys


def main(library: str, *arguments: str) -> None:
    """Hand the arguments to the library's entry; returns when the engine has stopped."""
    entry = ctypes.CDLL(library).query_stable_v2
    entry.restype = ctypes.c_void_p
    entry.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    argv = [text.encode() for text in ("clickhouse-local", *arguments)]
    entry(len(argv), (ctypes.c_char_p * (len(argv) + 1))(*argv, None))


if __name__ == "__main__":
    main(*sys.argv[1:])
