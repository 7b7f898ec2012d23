"""From a bundle on disk to a version that can be called: checks, files, gates, registry row."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treehouse.bundle import Bundle, bundle_id
from treehouse.bundle.container import Kind, Reader
from treehouse.bundle.renumber import with_version
from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.state import ensure_registry
from treehouse.clickhouse.turns import Turn, alone
from treehouse.project.contract import load_contract
from treehouse.project.errors import TreehouseError
from treehouse.registry.artifacts import place_file, upload
from treehouse.registry.garbage import COLLECTING, PUBLISHING
from treehouse.registry.gates import judge, write_gates
from treehouse.registry.holdout import holdout
from treehouse.registry.outcome import Outcome, RefusedError
from treehouse.registry.parity import Parity, tolerance, verify
from treehouse.registry.promotions import Version, find_version, record
from treehouse.registry.statistics import write_statistics
from treehouse.spec import load_spec

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

__all__ = ["Parity", "check_contract", "place_file", "publish", "upload", "verify"]
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_PATIENCE_SECONDS = 1800.0


def publish(
    client: Client,
    settings: Settings,
    use_case: str,
    path: Path | None = None,
    *,
    force: str = "",
) -> tuple[Version, Parity]:
    """Publish the bundle that `train` left; it answers only once it is promoted.

    The registry's row, and after it the event, come last: whatever fails before leaves what was
    there answering. Of two publishers of a model the second waits for the first.

    Args:
        client: Of the engine.
        settings: Where the registry is.
        use_case: Whose model it is.
        path: The bundle; by default, where `train` leaves it.
        force: A reason to publish though a gate refuses; kept in `events`. Contract and parity
            can't be forced.

    Raises:
        TreehouseError: No bundle, or a gate refuses it: the message says which, and by how much.
    """
    load_contract(use_case)
    path = path or settings.home / "trained" / f"{use_case}.bundle"
    data, header = _read(path, use_case)
    ensure_registry(client, settings)
    fits = _contract_gate(client, settings, use_case, header)
    with alone(
        client, settings, f"{PUBLISHING} {use_case}", wait_seconds=_PATIENCE_SECONDS
    ) as turn:
        # Seen by a collection that begins now; one that is at work is waited for.
        with alone(client, settings, COLLECTING, wait_seconds=_PATIENCE_SECONDS):
            pass
        return _publish(turn, use_case, path, (data, header), fits, force.strip())


def _publish(
    turn: Turn,
    use_case: str,
    path: Path,
    bundle: tuple[bytes, dict[str, Any]],
    fits: Outcome,
    force: str,
) -> tuple[Version, Parity]:
    client, settings, header = turn.client, turn.settings, bundle[1]
    number = _next_number(client, settings, use_case)
    data = with_version(bundle[0], number)
    header["bundle"] = bundle_id(data)
    upload(client, settings, data, header["info"]["golden"])
    parity, equals = _parity_gate(client, settings, header, path)
    outcomes = _judge(client, settings, header, [fits, equals], len(data), force)
    contract, is_known = load_contract(use_case), _is_known(outcomes)
    header["holdout"] = holdout(client, settings, contract) if is_known else (_NEVER, 0)
    turn.check()
    _insert_version(client, settings, data, header, number)
    if is_known:
        write_statistics(client, settings, contract, header, number)
    write_gates(client, settings, header, outcomes, version=number, forced=bool(force))
    published = find_version(client, settings, use_case, number)
    needed = force if not all(outcome.passed for outcome in outcomes) else ""
    record(client, settings, published, "publish", needed)
    return find_version(client, settings, use_case, number), parity


def _read(path: Path, use_case: str) -> tuple[bytes, dict[str, Any]]:
    if not path.exists():
        raise TreehouseError(
            f"There is no trained bundle of {use_case}.",
            value=path,
            fix=f"./treehouse train {use_case}",
        )
    data = path.read_bytes()
    header = Bundle.read_header(data)
    header["explained"] = len(Reader(data).section(Kind.EXPLAINED, 0)) > 0
    if header["model"] != use_case:
        raise TreehouseError(
            "The bundle is of another use case.", value=header["model"], expected=use_case
        )
    return data, header


def _contract_gate(
    client: Client, settings: Settings, use_case: str, header: dict[str, Any]
) -> Outcome:
    try:
        check_contract(use_case, header)
    except TreehouseError as error:
        write_gates(client, settings, header, [Outcome("contract", 1, 0, str(error.value))])
        raise
    return Outcome("contract", 0, 0, "the features and heads of now")


def check_contract(use_case: str, header: dict[str, Any]) -> None:
    """Refuse a bundle that was trained for other features or heads.

    Raises:
        TreehouseError: It names what is missing, new or moved.
    """
    contract = load_contract(use_case)
    if header["contract"] == contract.hash:
        return
    trained = {name for names in header["inputs"].values() for name in names}
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


def _parity_gate(
    client: Client, settings: Settings, header: dict[str, Any], path: Path
) -> tuple[Parity, Outcome]:
    has_networks = bool(header["networks"])
    parity = verify(client, settings, header["bundle"], has_networks=has_networks)
    bound = tolerance(has_networks=has_networks)
    found = f"{parity.different} of {parity.answers} answers differ, worst by {parity.worst:.3g}"
    worst = parity.worst if parity.answers else float("nan")
    outcome = Outcome("parity", worst, bound, found)
    if not parity.is_equal:
        write_gates(client, settings, header, [outcome])
        raise TreehouseError(
            f"The answers of {header['model']} in the engine differ from the trainer's: "
            "not published.",
            value=found,
            expected=f"relative differences of at most {bound}",
            fix=f"please report this with the bundle: {path}",
        )
    return parity, outcome


def _judge(
    client: Client,
    settings: Settings,
    header: dict[str, Any],
    before: list[Outcome],
    size: int,
    force: str,
) -> list[Outcome]:
    """What all gates found; a refusal is written down before it is raised."""
    name = header["model"]
    outcomes = before + judge(client, settings, load_spec(name), header, size)
    refusals = [outcome for outcome in outcomes if not outcome.passed]
    if refusals and not force:
        write_gates(client, settings, header, outcomes)
        raise RefusedError(
            f"{name} is not published: refused by {len(refusals)} of {len(outcomes)} gates.",
            outcomes,
            value="\n            ".join(map(str, refusals)),
            expected="within the bounds of `gates` in the spec; select * from "
            f"{settings.registry_database}.gates has them all",
            fix=f'./treehouse publish {name} --force "why", if you know better',
        )
    return outcomes


def _is_known(outcomes: list[Outcome]) -> bool:
    """Whether the training set is there, and still the one of the fit."""
    return all(outcome.passed for outcome in outcomes if outcome.gate == "training set")


def _next_number(client: Client, settings: Settings, use_case: str) -> int:
    return 1 + int(
        client.query(
            f"select max(version) from {identifier(settings.registry_database)}.versions "
            "where model = {model:String}",
            parameters={"model": use_case},
        ).result_rows[0][0]
    )


def _insert_version(
    client: Client, settings: Settings, data: bytes, header: dict[str, Any], number: int
) -> None:
    info, lineage = header["info"], header["info"]["lineage"]
    name, bundle = header["model"], bundle_id(data)
    features = [(feature.name, feature.kind) for feature in load_contract(name).features]
    row = {
        "model": name,
        "version": number,
        "contract": header["contract"],
        "bundle": bundle,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "heads": header["heads"],
        "features": features,
        "networks": header["networks"],
        "spec_hash": info["spec_hash"],
        "training_from": _time(lineage["from"]),
        "training_to": _time(lineage["to"]),
        "holdout_from": header["holdout"][0],
        "holdout_rows": header["holdout"][1],
        "training_rows": int(lineage["rows"]),
        "training_fingerprint": _fingerprint(lineage),
        "libraries": info["libraries"],
        "parameters": json.dumps(info["parameters"]),
        "metrics": json.dumps(info["metrics"]),
    }
    client.insert(
        "versions",
        [list(row.values())],
        column_names=list(row),
        database=settings.registry_database,
        settings={"insert_deduplication_token": f"{name}:{number} {bundle}"},
    )


def _fingerprint(lineage: dict[str, Any]) -> int:
    """That of the fit; 0 where an older release had none, for every row held a null."""
    found = str(lineage["fingerprint"])
    return int(found) if found.isdigit() else 0


def _time(text: str) -> datetime:
    """A time of the lineage; all are UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
