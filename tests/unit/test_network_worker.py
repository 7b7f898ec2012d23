"""The worker for networks, as a process with pipes."""

from __future__ import annotations

import io
import os
import select
import socket
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.network_pipe import NetworkWorker, answers, block, both_networks, bundle_of
from tests.support.networks import lstm, mlp, random_batch, reference
from treehouse.bundle import Bundle, Network, bundle_id
from treehouse.bundle.tolerance import NETWORK_TOLERANCE
from treehouse.network import batch_of
from treehouse.project.errors import TreehouseError
from udfs.network import pack
from udfs.network.models import Store


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> NetworkWorker:
    return NetworkWorker(tmp_path_factory.mktemp("worker"))


def test_answers_are_those_of_double_precision(worker: NetworkWorker) -> None:
    """Within what float32 allows; over several chunks, whatever the rows hold."""
    batch = random_batch(5000)
    ours, exact = worker.matrix(both_networks(), batch), reference(batch)
    assert np.isfinite(ours).all()
    assert (np.abs(ours - exact) <= NETWORK_TOLERANCE * np.abs(exact).max(axis=0)).all()


def test_a_row_alone_answers_as_it_does_among_others(worker: NetworkWorker) -> None:
    batch, number = random_batch(40), worker.publish(both_networks())
    together = worker.matrix(number, batch)
    data = b"".join(block([number], batch.slice(i, 1)) for i in range(40))
    alone = np.array(worker.serve(data, [1] * 40))
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-6)


def test_blocks_follow_each_other_without_an_end_marker(worker: NetworkWorker) -> None:
    """A marker would stand in front of the next answer, where the engine finds no schema."""
    number, sizes = worker.publish(both_networks()), (3, 1, 2100, 5)
    batches = [random_batch(size, seed=size) for size in sizes]
    data = b"".join(block([number] * b.num_rows, b, parts=2) for b in batches)
    done = worker.run(data)
    assert done.returncode == 0, done.stderr
    found = np.array(answers(done.stdout, sizes))
    exact = np.concatenate([reference(batch) for batch in batches])
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_versions_mix_within_a_block(worker: NetworkWorker) -> None:
    """Each row by its own version: of two networks, of one, of none, and nothing promoted."""
    batch = random_batch(200)
    numbers = [
        worker.publish(both_networks()),
        worker.publish(bundle_of(lstm(), version=2)),
        worker.publish(bundle_of(version=3)),
        0,
    ]
    exact = reference(batch)
    found = worker.answer([numbers[i % 4] for i in range(200)], batch)
    for i, row in enumerate(found):
        wanted = (exact[i], exact[i, 2:], [], [])[i % 4]
        assert len(row) == len(wanted)
        np.testing.assert_allclose(row, wanted, atol=1e-5)


def test_sequences_and_strings_of_any_shape(worker: NetworkWorker) -> None:
    """None, one too long by far, an empty string, bytes that are no text: nothing is refused."""
    long = [f"query {i % 30}" for i in range(10_000)]
    tokens = [[[]], [long], [["", "", ""]], [["query 1"] * 6]]
    batch = batch_of(
        numeric=[[1.0, 2.0]] * 4,
        categorical=[[""], ["x" * 100_000], ["DE\0"], ["DE"]],
        tokens=tokens,
        series=[[[]], [[1.0] * 10_000], [[np.nan, np.inf, -np.inf]], [[0.0] * 6]],
    )
    found = worker.matrix(both_networks(), batch)
    np.testing.assert_allclose(found, reference(batch), atol=1e-5)
    raw = pa.array([[b"\xff\xfe"]] * 4, pa.list_(pa.binary())).view(pa.list_(pa.string()))
    broken = batch.set_column(1, "categorical", raw)
    assert np.isfinite(worker.matrix(both_networks(), broken)).all()


def refusal(worker: NetworkWorker, data: bytes) -> str:
    """What the worker says of a block that it does not answer."""
    with pytest.raises((TreehouseError, pa.ArrowInvalid, OSError)) as refused:
        worker.serve(data, [])
    return str(refused.value)


def test_a_refusal_is_one_line_and_an_exit_code(worker: NetworkWorker) -> None:
    good = block([worker.publish(both_networks())], random_batch(1))
    done = worker.run(good + block([77], random_batch(1)))
    assert done.returncode == 1
    source = io.BytesIO(done.stdout)
    assert len(pa.ipc.open_stream(source).read_next_batch()) == 1
    assert pa.ipc.open_stream(source).read_all().num_rows == 0  # ended, without an answer
    text = done.stderr.decode()
    assert text.startswith("treehouse-network: cannot open model file ")
    missing = "/user_files/treehouse/000000000000004d.bundle: No such file or directory"
    assert f"{missing}; ./treehouse sync " in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numeric": [[1.0]]}, "takes 2 numeric inputs, a row brings 1"),
        ({"categorical": [["DE", "US"]]}, "takes 1 categorical inputs, a row brings 2"),
        ({"tokens": [[]]}, "takes 1 tokens inputs, a row brings 0"),
        ({"series": [[[1.0], [2.0]]]}, "takes 1 series inputs, a row brings 2"),
    ],
)
def test_a_wrong_number_of_inputs(
    worker: NetworkWorker, change: dict[str, list[object]], message: str
) -> None:
    number = worker.publish(both_networks(version=4))
    right = {"numeric": [[1.0, 2.0]], "categorical": [["DE"]], "tokens": [[[]]], "series": [[[]]]}
    text = refusal(worker, block([number], batch_of(**{**right, **change})))
    assert f"{number:016x}.bundle (nets version 4) {message}" in text


def test_a_flipped_bit_anywhere_is_refused(worker: NetworkWorker) -> None:
    data = both_networks(version=9).to_bytes()
    places = np.random.default_rng(1).choice(len(data) * 8, 8, replace=False)
    for place in [0, *places]:
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        worker.path(bundle_id(data)).write_bytes(damaged)
        worker.store = Store(worker.files)
        text = refusal(worker, block([bundle_id(data)], random_batch(1)))
        assert "is damaged: its hash is not its name" in text


def test_a_graph_that_does_not_open(worker: NetworkWorker) -> None:
    broken = Network(b"no graph", mlp().inputs, ("a",), ("answer",))
    number = worker.publish(bundle_of(broken, version=5))
    text = refusal(worker, block([number], random_batch(1)))
    assert "(nets version 5)" in text


def test_a_graph_that_answers_another_number_of_values(worker: NetworkWorker) -> None:
    network = mlp()
    wrong = Network(network.graph, network.inputs, ("a", "b", "c"), network.answers)
    text = refusal(worker, block([worker.publish(bundle_of(wrong))], random_batch(1)))
    assert "answers 2 values a row, its bundle names 3" in text


@pytest.mark.parametrize("data", [b"no stream at all", b"\xff\xff\xff\xff\x10\0\0\0" + bytes(9)])
def test_a_block_that_is_none(worker: NetworkWorker, data: bytes) -> None:
    assert refusal(worker, data)


def test_a_block_that_ends_early(worker: NetworkWorker) -> None:
    whole = block([worker.publish(both_networks())] * 9, random_batch(9))
    for size in (1, 40, len(whole) // 2, len(whole) - 200):
        assert refusal(worker, whole[:size])


def test_inherited_descriptors_are_closed(worker: NetworkWorker) -> None:
    """Else the client of a connection that the engine has closed would wait for ever."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [worker.program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    assert process.stdin
    readable, _, _ = select.select([ours], [], [], 30)
    assert readable
    assert ours.recv(1) == b""
    ours.close()
    assert process.poll() is None
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_without_its_python_it_says_what_to_do(tmp_path: Path) -> None:
    program = pack.write(tmp_path / "treehouse-network", ["/no/such/python", "/nor this one"])
    done = subprocess.run([program], capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    assert b"/no/such/python '/nor this one'" in done.stderr
    assert b"install --print" in done.stderr
    assert pa.ipc.open_stream(done.stdout).read_all().num_rows == 0


def test_without_its_packages_it_says_which(tmp_path: Path) -> None:
    """A bare interpreter: the archive holds our own modules and nothing else."""
    python = tmp_path / "python with a blank"
    python.write_text('#!/bin/sh\nexec python3 -S "$@"\n')
    python.chmod(0o755)
    program = pack.write(tmp_path / "treehouse-network", [python])
    done = subprocess.run(
        [program], input=b"x", capture_output=True, timeout=30, check=False, env=os.environ
    )
    assert done.returncode == 1
    assert b"treehouse-network: No module named" in done.stderr
    assert pa.ipc.open_stream(done.stdout).read_all().num_rows == 0


def test_few_models_are_kept(worker: NetworkWorker) -> None:
    store = Store(worker.files, limit=2)
    numbers = [worker.publish(bundle_of(mlp(), version=10 + i)) for i in range(3)]
    opened = [store.get(number) for number in numbers]
    assert store.get(numbers[2]) is opened[2]
    assert store.get(numbers[1]) is opened[1]
    assert store.get(numbers[0]) is not opened[0]


def test_the_scorer_takes_what_the_networks_answer() -> None:
    header = Bundle.read_header(both_networks().to_bytes())
    assert header["networks"] == ["mlp_a", "mlp_b", "lstm"]
    assert header["inputs"]["numeric"] == ["age", "amount"]
    assert (header["inputs"]["tokens"], header["inputs"]["series"]) == (["recent"], ["gaps"])
