"""A challenger in the champion's shadow: it scores everything, decides nothing, and is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier, literal
from treehouse.clickhouse.ddl import MACROS, render
from treehouse.experiments.state import find_experiment
from treehouse.project.contract import load_contract
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_MACROS = MACROS / "statistics" / "shadow.sql"


def agreement(
    client: Client,
    settings: Settings,
    experiment: str,
    decision: str | None = None,
) -> dict[str, Any]:
    """How the challenger's answers differ from the champion's over the features of every row.

    Args:
        client: Of the target.
        settings: With the names of the databases.
        experiment: One that was started with --shadow.
        decision: SQL over `value`; the tier by rank if None.

    Returns:
        rows, means, mean and 95 % quantile of the absolute difference, Pearson's and Spearman's
        correlation, and the share of the rows whose decision would change.

    Raises:
        TreehouseError: It is no running shadow.
    """
    found = find_experiment(client, settings, experiment)
    if not found["is_shadow"] or found["state"] == "stopped":
        raise TreehouseError(
            "Only a running shadow has a challenger to compare.",
            value=f"{experiment}: {found['state']}, "
            f"{'a shadow' if found['is_shadow'] else 'no shadow'}",
            expected="an experiment started with --shadow",
            fix=f"./treehouse experiment results {experiment}",
        )
    contract = load_contract(found["model"])
    arguments = ", ".join(identifier(feature.name) for feature in contract.features)
    keys = ", ".join(identifier(key) for key in contract.keys)
    scores = (
        f"(select tuple({keys}) as key, "
        f"predict_{contract.use_case}_shadow({literal(experiment)}, {arguments}) as shadow "
        f"from {identifier(settings.database)}.{identifier(contract.use_case + '_features')})"
    )
    result = client.query(render(_MACROS, "shadow_agreement", scores, decision))
    row = next(iter(result.named_results()))
    return {"experiment": experiment, "model": contract.use_case,
            "challenger": found["versions"][-1], **row}  # fmt: skip
