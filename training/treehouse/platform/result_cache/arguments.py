"""The number by which an answer with arguments is found: a hash of them, keyed for each reader.

Who sees the log or the dictionary of answers could try out values where the hash had no key. The
view has its reader's key in its text, and that tells nothing of what others asked.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier, row_hash
from treehouse.clickhouse.ddl import is_there
from treehouse.clickhouse.state import SECRETS
from treehouse.platform.result_cache.config import NamedQuery, ResultCache

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True)
class ArgumentHash:
    """Hashes the arguments of named queries.

    Attributes:
        secret: Of the store.
    """

    secret: str

    def sql(
        self,
        query: NamedQuery,
        argument: Callable[[str, str], str] = lambda name, kind: f"{{{name}:{kind}}}",
    ) -> str:
        """SQL of the hash as a UInt64; 0 for a query without parameters.

        Args:
            query: Its parameters count, and its reader.
            argument: SQL of the value, by name and type; by default the parameter itself.
        """
        typed = [argument(name, kind) for name, kind in query.parameters.items()]
        if not typed:
            return "toUInt64(0)"
        digest = hmac.digest(self.secret.encode(), query.user.encode(), "sha256")
        key = ", ".join(f"toUInt64({half})" for half in struct.unpack("<2Q", digest[:16]))
        return row_hash(typed, "sipHash64Keyed", f"({key})")


def argument_hash(client: Client, cache: ResultCache) -> ArgumentHash:
    """With the store's secret; there is nothing to find before it has one."""
    if not is_there(client, cache.database, SECRETS):
        return ArgumentHash("")
    rows = client.query(
        f"select secret from {identifier(cache.database)}.{SECRETS} order by at, secret limit 1"
    ).result_rows
    return ArgumentHash(str(rows[0][0]) if rows else "")
