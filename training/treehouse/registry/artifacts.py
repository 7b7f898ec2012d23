"""Model files: in the registry's `artifacts`, and on the disk of the engine that scores.

Everything goes over SQL. A file is written under another name, compared with its SHA-256 and only
then renamed: a scorer never meets half a file, and one that has read the old one keeps it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clickhouse_connect.driver.exceptions import ClickHouseError

from treehouse.bundle import bundle_id
from treehouse.bundle.sections import bytes_of
from treehouse.clickhouse.client import identifier, literal
from treehouse.project.errors import TreehouseError, first_line
from treehouse.registry.scorer_call import KINDS

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

Placed = Literal["sound", "restored", "repaired"]


def upload(client: Client, settings: Settings, data: bytes, golden: dict[str, Any]) -> None:
    """Put a model file into the registry and where the scorer looks; equal files are left alone.

    Raises:
        TreehouseError: What the engine stored is not what was sent.
    """
    bundle, sha256 = bundle_id(data), hashlib.sha256(data).hexdigest()
    # Each on its own: whoever was here before may have been stopped in between.
    if not _has(client, settings, "golden_rows", bundle):
        _insert_golden(client, settings, bundle, golden)
    if not _has(client, settings, "artifacts", bundle):
        with _room_for(bundle):
            client.insert(
                "artifacts",
                [[bundle, sha256, data]],
                column_names=["bundle", "sha256", "content"],
                database=settings.registry_database,
            )
    place_file(client, settings, bundle, sha256)


def place_file(client: Client, settings: Settings, bundle: int, sha256: str) -> Placed:
    """See that the engine's disk holds a model file as the registry has it.

    Returns:
        "sound": it was there; "restored": it was missing; "repaired": it was another, which is
        set aside under its name with `.bad` and the time.

    Raises:
        TreehouseError: The registry's copy is missing or corrupt itself, or the disk did not
            take it; what was there is still there.
    """
    name = f"{bundle:016x}.bundle"
    found = look_at_file(client, settings, bundle, sha256)
    if found == "sound":
        return "sound"
    is_there = found != "missing"
    _check_copy(client, settings, bundle, sha256)
    fresh = f"{name}.{uuid.uuid4().hex[:8]}"
    with _room_for(bundle):
        try:
            client.command(
                f"insert into function {file_sql(settings, fresh)} select content "
                f"from {identifier(settings.registry_database)}.artifacts where bundle = {bundle} "
                f"and lower(hex(SHA256(content))) = {literal(sha256)} limit 1"
            )
            _check_stored(client, settings, fresh, sha256)
        except (ClickHouseError, TreehouseError):
            with suppress(ClickHouseError):
                _empty(client, settings, fresh)  # half a file holds the room that others need
            raise
        if is_there:
            _rename(client, settings, name, "%a.%t.bad")
        _rename(client, settings, fresh, "%f")
    _check_stored(client, settings, name, sha256)
    return "repaired" if is_there else "restored"


@contextmanager
def _room_for(bundle: int) -> Iterator[None]:
    """What the engine, or the embedded one's client, says of a disk in words of ours."""
    try:
        yield
    except (ClickHouseError, OSError) as error:
        raise TreehouseError(
            "The engine could not store a model file.",
            value=f"{bundle:016x}: {first_line(error)}",
            expected="room on its disk, and the right to write user_files/treehouse",
            fix="./treehouse doctor",
        ) from error


def look_at_file(client: Client, settings: Settings, bundle: int, sha256: str) -> str:
    """What lies on the engine's disk under a model file's name; it is not changed.

    A pipe or a device has no size, and nothing that has none is opened; nor is anything read that
    is not as large as the registry's copy.

    Returns:
        "sound", "missing", "empty or no file", or "another file".

    Raises:
        TreehouseError: The engine can't say, as of a link that leads to itself.
    """
    name = f"{bundle:016x}.bundle"
    try:
        size = _size(client, settings, name)
        if size is None:
            return "missing"
        if size == 0:
            return "empty or no file"
        expected = _copy_size(client, settings, bundle)
        is_sound = expected in (0, size) and _sha256(client, settings, name) == sha256
    except ClickHouseError as error:
        raise TreehouseError(
            "The engine can't read what lies in a model file's place.",
            value=f"{settings.model_files}/{name}: {first_line(error)}",
            expected="a file, or nothing",
            fix="remove it from the server's disk, then ./treehouse sync",
        ) from error
    return "sound" if is_sound else "another file"


def remove_file(client: Client, settings: Settings, bundle: int) -> bool:
    """Give back the disk of a model file that no function asks for any more.

    SQL can empty a file on a server, but not remove it. A scorer that has read it answers on from
    memory, a new one refuses, so the registry's functions must have forgotten it before. Returns
    whether there was one.
    """
    name = f"{bundle:016x}.bundle"
    if not _size(client, settings, name):
        return False
    if settings.target == "embedded":
        Path(settings.model_files, name).unlink(missing_ok=True)
    else:
        _empty(client, settings, name)
    return True


def _empty(client: Client, settings: Settings, name: str) -> None:
    client.command(
        f"insert into function {file_sql(settings, name)} select '' "
        "settings engine_file_truncate_on_insert = 1"
    )


def _check_copy(client: Client, settings: Settings, bundle: int, sha256: str) -> None:
    registry = identifier(settings.registry_database)
    found = client.query(
        f"select lower(hex(SHA256(content))) from {registry}.artifacts where bundle = {bundle}"
    ).result_rows
    if (sha256,) not in found:
        raise TreehouseError(
            "The registry's copy of a model file is "
            + ("corrupt." if found else "missing: it was cleared away, or never finished."),
            value=f"bundle {bundle:016x} in {settings.registry_database}.artifacts",
            expected=f"SHA-256 {sha256}",
            fix="promote another version, or train and publish it again",
        )


def _check_stored(client: Client, settings: Settings, name: str, sha256: str) -> None:
    """A disk may be full without a word: then the file is short."""
    if (stored := _sha256(client, settings, name)) != sha256:
        raise TreehouseError(
            "The engine could not store a model file as it was sent.",
            value=f"{name} has SHA-256 {stored}",
            expected=f"{sha256}, and room on its disk",
            fix="./treehouse doctor",
        )


def _rename(client: Client, settings: Settings, name: str, pattern: str) -> None:
    """Rename a file: %a is its name, %f the same without the last ending. It is not opened."""
    client.query(
        f"select count() from {_unread(settings, name)} "
        f"settings rename_files_after_processing = {literal(pattern)}"
    )


def file_sql(settings: Settings, name: str) -> str:
    """SQL of a file in the folder of model files, as one column `c`."""
    return f"file({literal(f'{settings.model_files}/{name}')}, 'RawBLOB', 'c String')"


def _unread(settings: Settings, name: str) -> str:
    """SQL of a file in the folder of model files as one row, without opening it."""
    return f"file({literal(f'{settings.model_files}/{name}')}, 'One')"


def _copy_size(client: Client, settings: Settings, bundle: int) -> int:
    """Bytes of the registry's copy; 0 where there is none."""
    rows = client.query(
        f"select max(length(content)) from {identifier(settings.registry_database)}.artifacts "
        f"where bundle = {bundle}"
    ).result_rows
    return int(rows[0][0])


def _size(client: Client, settings: Settings, name: str) -> int | None:
    """Bytes of a file of the engine; None where there is none."""
    rows = client.query(
        f"select _size from {_unread(settings, name)} settings engine_file_empty_if_not_exists = 1"
    ).result_rows
    return int(rows[0][0]) if rows else None


def _sha256(client: Client, settings: Settings, name: str) -> str:
    """SHA-256 of a file of the engine; "" where there is none, or nothing in it."""
    rows = client.query(
        f"select lower(hex(SHA256(c))) from {file_sql(settings, name)} "
        "settings engine_file_empty_if_not_exists = 1"
    ).result_rows
    return str(rows[0][0]) if rows else ""


def _has(client: Client, settings: Settings, table: str, bundle: int) -> bool:
    return bool(
        client.query(
            f"select count() from {identifier(settings.registry_database)}.{table} "
            "where bundle = {b:UInt64}",
            parameters={"b": bundle},
        ).result_rows[0][0]
    )


def _insert_golden(client: Client, settings: Settings, bundle: int, golden: dict[str, Any]) -> None:
    columns = [name for name in KINDS if name in golden]
    texts = golden.get("categorical", ())
    golden = golden | {"categorical": [[bytes_of(text) for text in row] for row in texts]}
    rows = zip(*(golden[name] for name in (*columns, "answers")), strict=True)
    client.insert(
        "golden_rows",
        [[bundle, i, *row] for i, row in enumerate(rows)],
        column_names=["bundle", "row", *columns, "answers"],
        database=settings.registry_database,
    )
