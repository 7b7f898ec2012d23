"""From a bundle on disk to a version that can be called: checks, files, parity, registry row."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.bundle import Bundle, bundle_id
from training.bundle.renumber import with_version
from training.contract import load_contract
from training.engine import identifier, literal
from training.errors import TreehouseError
from training.registry import ensure_registry, find_version, record, versions
from training.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.registry import Version

TOLERANCE = 1e-12
"""Largest difference between an answer and the trainer's own, relative to the row's largest answer:
an interval's end may be a small difference of large numbers. Sums of leaves are equal to the bit;
exp and the logistic function of two C libraries differ by up to 2 ulp (4e-16), and a head combines
a handful of them."""


@dataclass(frozen=True)
class Parity:
    """How the engine's answers compare with the trainer's: the gate of every publish."""

    answers: int
    different: int
    worst: float

    @property
    def is_equal(self) -> bool:
        return self.different == 0 and self.answers > 0


def publish(
    client: Client, settings: Settings, use_case: str, path: Path | None = None
) -> tuple[Version, Parity]:
    """Publish the bundle that `train` left; it answers only once it is promoted.

    The registry row comes last: whatever fails before leaves what was there answering.

    Raises:
        TreehouseError: No bundle, one that does not fit the contract, or one whose answers in
            the engine differ from the trainer's.
    """
    path = path or settings.home / "trained" / f"{use_case}.bundle"
    data, header = _read(path, use_case)
    check_contract(use_case, header)
    ensure_registry(client, settings)
    version = max((v.version for v in versions(client, settings, use_case)), default=0) + 1
    data = with_version(data, version)
    upload(client, settings, data, header["info"]["golden"])
    parity = verify(client, settings, bundle_id(data))
    if not parity.is_equal:
        raise TreehouseError(
            f"The answers of {use_case} in the engine differ from the trainer's: not published.",
            value=f"{parity.different} of {parity.answers} answers, worst by {parity.worst:.3g}",
            expected=f"relative differences of at most {TOLERANCE}",
            fix="please report this with the bundle: " + str(path),
        )
    _insert_version(client, settings, data, header, version)
    published = find_version(client, settings, use_case, version)
    record(client, settings, published, "publish")
    return published, parity


def _read(path: Path, use_case: str) -> tuple[bytes, dict[str, Any]]:
    if not path.exists():
        raise TreehouseError(
            f"There is no trained bundle of {use_case}.",
            value=path,
            fix=f"./treehouse train {use_case}",
        )
    data = path.read_bytes()
    header = Bundle.read_header(data)
    if header["model"] != use_case:
        raise TreehouseError(
            "The bundle is of another use case.", value=header["model"], expected=use_case
        )
    return data, header


def check_contract(use_case: str, header: dict[str, Any]) -> None:
    """Refuse a bundle that was trained for other features or heads.

    Raises:
        TreehouseError: It names what is missing, new or moved.
    """
    contract = load_contract(use_case)
    if header["contract"] == contract.hash:
        return
    trained = {*header["inputs"]["numeric"], *header["inputs"]["categorical"]}
    wanted = {feature.name for feature in contract.features}
    parts = [
        f"{what}: {', '.join(sorted(names))}"
        for what, names in (("only trained", trained - wanted), ("only wanted", wanted - trained))
        if names
    ]
    raise TreehouseError(
        f"The bundle does not fit the contract of {use_case}.",
        value="; ".join(parts) or "the same features in another order or kind, or other heads",
        expected=contract.text,
        fix=f"./treehouse build && ./treehouse train {use_case}",
    )


def upload(client: Client, settings: Settings, data: bytes, golden: dict[str, Any]) -> None:
    """Put a model file where the scorer looks, over SQL alone; equal files are left alone.

    Raises:
        TreehouseError: What the engine stored is not what was sent.
    """
    registry = identifier(settings.registry_database)
    bundle, sha256 = bundle_id(data), hashlib.sha256(data).hexdigest()
    # Each on its own: whoever was here before may have been stopped in between.
    if not _has(client, f"{registry}.golden_rows", bundle):
        _insert_golden(client, settings, bundle, golden)
    if not _has(client, f"{registry}.artifacts", bundle):
        client.insert(
            "artifacts",
            [[bundle, sha256, data]],
            column_names=["bundle", "sha256", "content"],
            database=settings.registry_database,
        )
    place_file(client, settings, bundle, sha256)


def place_file(client: Client, settings: Settings, bundle: int, sha256: str) -> None:
    """Write a model file of the registry's `artifacts` to the engine's disk, if it is not there.

    Raises:
        TreehouseError: What was stored is not what was sent.
    """
    registry = identifier(settings.registry_database)
    file = f"file({literal(f'{settings.model_files}/{bundle:016x}.bundle')}, 'RawBLOB', 'c String')"
    if _file_hash(client, file) == sha256:
        return
    client.command(
        f"insert into function {file} select content from {registry}.artifacts "
        f"where bundle = {bundle} limit 1 settings engine_file_truncate_on_insert = 1"
    )
    stored = _file_hash(client, file)
    if stored != sha256:
        raise TreehouseError(
            "The engine did not store the model file as it was sent.",
            value=stored,
            expected=sha256,
            fix="see that its disk has room: ./treehouse doctor",
        )


def _file_hash(client: Client, file: str) -> str:
    """SHA-256 of a file of the engine; "" where there is none."""
    rows = client.query(
        f"select lower(hex(SHA256(c))) from {file} settings engine_file_empty_if_not_exists = 1"
    ).result_rows
    return str(rows[0][0]) if rows else ""


def _has(client: Client, table: str, bundle: int) -> bool:
    return bool(
        client.query(
            f"select count() from {table} where bundle = {{b:UInt64}}", parameters={"b": bundle}
        ).result_rows[0][0]
    )


def _insert_golden(client: Client, settings: Settings, bundle: int, golden: dict[str, Any]) -> None:
    rows = zip(golden["numeric"], golden["categorical"], golden["answers"], strict=True)
    client.insert(
        "golden_rows",
        [[bundle, i, *row] for i, row in enumerate(rows)],
        column_names=["bundle", "row", "numeric", "categorical", "answers"],
        database=settings.registry_database,
    )


def verify(client: Client, settings: Settings, bundle: int) -> Parity:
    """Compare the engine's answers to a version's golden rows with the trainer's, in SQL."""
    answers, different, worst = client.query(
        f"""
        with pairs as (
            select
                arrayJoin(arrayZip(
                    arraySlice(treehouse_score(bundle, numeric, categorical), 2), answers
                )) as pair,
                pair.1 as ours,
                pair.2 as theirs,
                ours = theirs or (isNaN(ours) and isNaN(theirs)) as is_same,
                arrayMax(arrayMap(x -> if(isFinite(x), abs(x), 0), answers)) as scale,
                abs(ours - theirs) / greatest(scale, 1e-300) as difference
            from {identifier(settings.registry_database)}.golden_rows
            where bundle = {{b:UInt64}}
        )
        select
            count(),
            countIf(not is_same and not difference <= {TOLERANCE}),
            maxIf(difference, not is_same)
        from pairs
        """,
        parameters={"b": bundle},
    ).result_rows[0]
    return Parity(int(answers), int(different), float(np.nan_to_num(worst, nan=np.inf)))


def _insert_version(
    client: Client, settings: Settings, data: bytes, header: dict[str, Any], version: int
) -> None:
    info = header["info"]
    row = {
        "model": header["model"],
        "version": version,
        "contract": header["contract"],
        "bundle": bundle_id(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "heads": header["heads"],
        "spec_hash": info["spec_hash"],
        "training_rows": int(info["lineage"]["rows"]),
        "training_fingerprint": int(info["lineage"]["fingerprint"]),
        "libraries": info["libraries"],
        "parameters": json.dumps(info["parameters"]),
        "metrics": json.dumps(info["metrics"]),
    }
    times = {
        "training_from": info["lineage"]["from"],
        "training_to": info["lineage"]["to"],
    }
    columns = [*row, *times]
    client.insert(
        "versions",
        [[*row.values(), *(np.datetime64(t.split("+")[0]).item() for t in times.values())]],
        column_names=columns,
        database=settings.registry_database,
    )
