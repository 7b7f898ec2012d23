"""The gates of quality: against each baseline, and against the champion, on the same test rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier
from treehouse.fit.baselines import rules
from treehouse.registry.artifacts import place_file
from treehouse.registry.holdout import CHAMPION, Comparison, compare
from treehouse.registry.losses import METRIC
from treehouse.registry.outcome import Outcome
from treehouse.registry.scorer_call import Scored
from treehouse.registry.statistics import training_columns, training_set
from treehouse.registry.versions import Version, versions

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import Spec
    from treehouse.spec.gates import Gates

_FEWEST_ROWS = 50
_RANKED = ("sequence",)
"""Tasks whose rules only rank, and whose models begin as such a rule, smoothed. What is left to
gain is then often nothing, and the model is taken for its probabilities: see _ties()."""


def judge_quality(
    client: Client, settings: Settings, spec: Spec, header: dict[str, Any]
) -> Iterator[Outcome]:
    """A row for each baseline, and one for the champion if there is one."""
    gates = spec.gates
    champion, other = _champion(client, settings, spec)
    if champion and (differing := _other_windows(champion, header)):
        yield Outcome("same label", 1, 0, differing)
        champion = other = None
    since = None
    if champion:
        place_file(client, settings, champion.bundle, champion.sha256)
        since = _unseen_since(client, settings, spec, champion)
    found = compare(
        client, settings, spec, Scored.of_header(header), other,
        since=since, confidence=gates.confidence,
    )  # fmt: skip
    if not found:
        yield Outcome.unknown("test rows", "the training set has none: nothing compared")
        return
    judged = _ties if spec.task in _RANKED and not gates.proven else _beats
    for name in rules(spec):
        yield judged(name, found[name], gates)
    for name in spec.fitted_baselines:
        yield _beats_fitted(name, header["info"]["metrics"], METRIC[spec.task])
    if champion:
        note = "" if since else ". It has seen some of these rows, for none are later"
        yield _not_worse(champion.version, found[CHAMPION], gates, note)


def _other_windows(champion: Version, header: dict[str, Any]) -> str:
    """How the champion's windows differ from those of a version: their labels can't be compared.

    Older versions don't say theirs.
    """
    theirs = champion.parameters.get("windows", {})
    ours = header["info"]["parameters"].get("windows", {})
    return ", ".join(
        f"{name} is {ours[name]}, and {theirs[name]} of version {champion.version}, which answers"
        for name in sorted(theirs.keys() & ours.keys())
        if theirs[name] != ours[name]
    )


def _champion(
    client: Client, settings: Settings, spec: Spec
) -> tuple[Version | None, Scored | None]:
    """Who answers now and can be asked over this training set: the present contract's first."""
    columns = training_columns(client, settings, spec.use_case)
    answering = [v for v in versions(client, settings, spec.use_case) if v.is_champion]
    for version in sorted(answering, key=lambda v: not v.fits_contract):
        scored = Scored.of_version(version)
        if scored and scored.columns <= columns:
            return version, scored
    return None, None


def _unseen_since(
    client: Client, settings: Settings, spec: Spec, champion: Version
) -> datetime | None:
    """From when on the champion has seen no row, if enough test rows are so late."""
    since = champion.holdout_from
    if since.year == 1970:  # published by a release that did not keep it
        since = champion.training_to + timedelta(milliseconds=1)
    time = f"toDateTime64({identifier(spec.contract.time)}, 3, 'UTC')"
    rows = client.query(
        f"select countIf(split = 'test' and {time} >= '{since:%F %T.%f}') "
        f"from {training_set(settings, spec.contract)}"
    ).result_rows[0][0]
    return since if rows >= _FEWEST_ROWS else None


def _ties(name: str, found: Comparison, gates: Gates) -> Outcome:
    """The mean loss lies above the baseline's by its own standard error at most.

    The rule of one standard error (Breiman, Friedman, Olshen, Stone: Classification and Regression
    Trees, 1984, section 3.4.3), which tuning goes by as well: what is no further apart counts as
    equal, and of equal ones the better equipped is taken.
    """
    worse = found.ours - found.theirs - found.error
    detail = _in_words(found, name, gates)
    if found.ours > found.theirs:
        detail += f"; its standard error is {found.share(found.error):.1%}"
    return Outcome(f"not worse than {name}", found.share(worse), 0.0, detail)


def _beats(name: str, found: Comparison, gates: Gates) -> Outcome:
    """The mean loss, or the whole interval where that is asked for, lies below the baseline's."""
    worst = found.high if gates.proven else found.ours - found.theirs
    detail = _in_words(found, name, gates)
    if found.low <= 0 < found.high:
        detail += ", which chance alone may explain"
    return Outcome(f"beats {name}", found.share(worst), 0.0, detail)


def _beats_fitted(name: str, metrics: dict[str, Any], metric: str) -> Outcome:
    """A baseline that is no SQL: as it was measured after the fit, on the same rows."""
    if reason := metrics.get("not_fitted", {}).get(name):
        return Outcome(f"beats {name}", 0.0, 0.0, f"not compared, for it was not fitted: {reason}")
    ours, theirs = metrics["model"].get(metric), metrics["baselines"].get(name, {}).get(metric)
    if ours is None or theirs is None:
        missing = f"no {metric} was measured at the fit: train once more"
        return Outcome.unknown(f"beats {name}", missing)
    share = (ours - theirs) / theirs if theirs else ours
    detail = f"{metric} {ours:.4g} against {theirs:.4g}: {share:+.1%}, as measured at the fit"
    return Outcome(f"beats {name}", share, 0, detail)


def _not_worse(number: int, found: Comparison, gates: Gates, note: str) -> Outcome:
    """Not certainly worse than the champion by more than was allowed."""
    detail = _in_words(found, f"version {number}", gates) + note
    return Outcome("not worse than the champion", found.share(found.low), gates.worse_by, detail)


def _in_words(found: Comparison, name: str, gates: Gates) -> str:
    middle, low, high = map(found.share, (found.ours - found.theirs, found.low, found.high))
    return (
        f"loss {found.ours:.4g} against {found.theirs:.4g} of {name} on {found.rows:,} rows: "
        f"{middle:+.1%} ({gates.confidence:.0%}: {low:+.1%} to {high:+.1%})"
    )
