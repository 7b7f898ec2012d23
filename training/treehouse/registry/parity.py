"""Parity: the engine's answers to a model's golden rows against the trainer's own, in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treehouse.bundle.tolerance import NETWORK_TOLERANCE, TOLERANCE
from treehouse.clickhouse.client import identifier
from treehouse.registry.scorer_call import KINDS, answers_sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


@dataclass(frozen=True)
class Parity:
    """How the engine's answers compare with the trainer's: the gate of every publish."""

    answers: int
    different: int
    worst: float

    @property
    def is_equal(self) -> bool:
        """Whether there were answers, and none differed."""
        return self.different == 0 and self.answers > 0


def tolerance(*, has_networks: bool) -> float:
    """The largest relative difference that counts as equal."""
    return NETWORK_TOLERANCE if has_networks else TOLERANCE


def verify(
    client: Client, settings: Settings, bundle: int, *, has_networks: bool = False
) -> Parity:
    """Compare the engine's answers to a version's golden rows with the trainer's."""
    call = answers_sql("bundle", KINDS, has_networks=has_networks)
    sizes = "arrayMap(x -> if(isFinite(x), abs(x), 0), answers)"
    golden = f"{identifier(settings.registry_database)}.golden_rows where bundle = {{b:UInt64}}"
    scales = f"arrayMap(x -> arrayMax({sizes}), answers)"
    if has_networks:
        scales = f"(select maxForEach({sizes}) from {golden})"
    answers, different, worst = client.query(
        f"""
        with pairs as (
            select
                arrayJoin(arrayZip(arraySlice({call}, 2), answers, {scales})) as pair,
                pair.1 as ours,
                pair.2 as theirs,
                ours = theirs or (isNaN(ours) and isNaN(theirs)) as is_same,
                abs(ours - theirs) / greatest(pair.3, 1e-300) as difference
            from {golden}
        )
        select
            count(),
            countIf(not is_same and not difference <= {tolerance(has_networks=has_networks)}),
            maxIf(if(isNaN(difference), inf, difference), not is_same)
        from pairs
        """,
        parameters={"b": bundle},
    ).result_rows[0]
    return Parity(int(answers), int(different), float(worst))
