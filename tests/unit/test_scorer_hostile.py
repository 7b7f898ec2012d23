"""A model file may call itself anything: neither a frame nor a line breaks by its name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.scorer_pipe import Scorer, answers, block, number
from treehouse.bundle import Bundle, Inputs, e
from udfs.network.__main__ import told

NAMES = [
    "\x01" * 200,
    '"},{"\\' * 20,
    "\x1b[2J\x1b]0;title\x07\r\n{}\x7f",
    "\x9b31m\u202eelbisivni\u2066\u2028",
    "é漢😀" * 10,
]
STEERS = [chr(c) for c in (*range(0x20), *range(0x7F, 0xA0))] + list("\u202e\u2066\u2028\u200f")


def hostile(name: str) -> Bundle:
    return Bundle(
        model=name, version=1, contract=name, inputs=Inputs(numeric=("x",)), forests=(),
        heads={name: e.feature("x") * 2.0},
    )  # fmt: skip


def entries(data: bytes, rows: int) -> list[list[dict[str, Any]]]:
    """The arrays of strings of an answering block, each string read as JSON."""
    columns, count, size = (int(n) for n in np.frombuffer(data[:24], "<u8"))
    assert (columns, count, size) == (1, rows, len(data) - 24)
    ends = [int(n) for n in np.frombuffer(data[24 : 24 + 8 * rows], "<u8")]
    texts, at = [], 24 + 8 * rows
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]
            length |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                break
        texts.append(json.loads(data[at : at + length]))
        at += length
    return [texts[a:b] for a, b in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_breaks_the_frame_of_what_is_loaded(scorer: Scorer, name: str) -> None:
    bundle = scorer.publish(hostile(name))
    command = [str(scorer.binary), "--files", str(scorer.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(block([bundle], np.ones((1, 1)), [()]))
        process.stdin.flush()
        first = process.stdout.read(24 + 8 + 16)
        assert answers(first)[0].tolist() == [1.0, 2.0]
        process.stdin.write(number(3))  # the answer was sent before its rows were counted
        process.stdin.flush()
        mine: list[dict[str, Any]] = []
        for _ in range(200):
            done = scorer.run(number(1) + number(2) + number(2) + b"\1\1", "loaded")
            assert done.returncode == 0, done.stderr
            found = entries(done.stdout, 2)
            assert found[0] == found[1]
            mine = [file for file in found[0] if file["bundle"] == f"{bundle:016x}"]
            if mine:
                break
        process.kill()
    (told_of,) = mine
    assert (told_of["version"], told_of["process"], told_of["rows"]) == (1, process.pid, 1)
    kept = told_of["model"].rstrip("\ufffd")
    assert kept
    assert name.startswith(kept), "cut, and otherwise itself"


@pytest.mark.parametrize("name", NAMES)
def test_an_error_is_one_line_without_the_folder(scorer: Scorer, name: str) -> None:
    bundle = scorer.publish(hostile(name))
    done = scorer.run(block([bundle], np.ones((1, 2)), [()]))
    assert done.returncode == 1
    text = done.stderr.decode()
    assert text.endswith("\n")
    assert not [c for c in STEERS if c in text[:-1]]
    assert f"{bundle:016x}.bundle" in text
    assert str(scorer.folder) not in text
    assert str(scorer.folder.parent.parent) not in text


def test_a_file_that_is_missing_is_named_without_the_servers_folders(scorer: Scorer) -> None:
    done = scorer.run(block([77], np.ones((1, 1)), [()]))
    text = done.stderr.decode()
    folder = scorer.folder
    assert f".../{folder.parent.name}/{folder.name}/{77:016x}.bundle: No such file" in text
    assert str(folder.parent) not in text


@pytest.mark.parametrize("name", NAMES)
def test_check_tells_names_exactly_as_json_and_safely_to_people(scorer: Scorer, name: str) -> None:
    bundle = scorer.publish(hostile(name))
    path = str(scorer.folder / f"{bundle:016x}.bundle")
    done = subprocess.run([scorer.binary, "--check", path, "--json"], capture_output=True)
    told_of = json.loads(done.stdout)
    assert (told_of["model"], told_of["contract"], told_of["heads"]) == (name, name, [name])
    shown = subprocess.run([scorer.binary, "--check", path], capture_output=True).stdout.decode()
    assert not [c for c in STEERS if c in shown[:-1]]


def test_the_worker_for_networks_tells_the_same_way() -> None:
    files = Path("/srv/clickhouse/user_files/treehouse")
    error = OSError(
        f"{files}/4d.bundle (\x1b[2J\u202e\r\nx) and (/opt/treehouse/lib/onnx.so): no\ud800"
    )
    assert told(error, files) == (
        ".../user_files/treehouse/4d.bundle (?[2J? x) and (.../onnx.so): no?"
    )
    assert told(ValueError(), files) == "ValueError"
