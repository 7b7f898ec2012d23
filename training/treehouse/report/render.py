"""The page itself: what each section is given, and the template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from treehouse.project import scales
from treehouse.project.scales import amount, figure, percent
from treehouse.report import features, life, quality, summary, view_life, view_quality
from treehouse.report.subject import Missing, Subject, find_subject

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import Spec

_CONTENTS = (
    ("quality", "How good it is"),
    ("why", "What moves it"),
    ("data", "What it learnt from"),
    ("drift", "Whether the world has changed"),
    ("experiments", "What experiments say"),
    ("serving", "How it serves"),
    ("history", "How it came about"),
)


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        html: The file.
        version: Which version it is about.
        left_out: Section to why it has no numbers.
    """

    html: str
    version: int
    left_out: dict[str, str]


def write_page(client: Client, settings: Settings, spec: Spec) -> Page:
    """The report on a model, asked of the engine and drawn.

    Raises:
        TreehouseError: Nothing of it is published.
    """
    subject = find_subject(client, settings, spec)
    page = _collect(subject)
    environment = Environment(
        loader=PackageLoader("treehouse.report"),
        autoescape=True,
        extensions=["jinja2.ext.do"],
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"minute": scales.minute, "day": scales.day}
    environment.globals |= {
        "linear": scales.linear,
        "scale": scales.Scale,
        "percent": percent,
        "figure_of": figure,
        "root": scales.root,
        "show": partial(amount, unit=subject.unit),
        "tick": partial(scales.tick, unit=subject.unit),
        "plain_tick": scales.tick,
        # The project's own text, not data: no mark-up can come in by it.
        "style": Markup(files("treehouse.report").joinpath("templates/style.css").read_text()),  # noqa: S704
    }
    left_out = {
        name: part["missing"]
        for name, part in page.items()
        if isinstance(part, dict) and part.get("missing")
    }
    html = environment.get_template("page.html.j2").render(page)
    return Page(html, subject.version.version, left_out)


def _collect(subject: Subject) -> dict[str, Any]:
    """What the template is given; a section is its numbers, or why there are none."""
    known = _or_missing(lambda: {"rows": features.features(subject)})
    page: dict[str, Any] = {
        "name": subject.spec.use_case,
        "about": subject.spec.about,
        "version": subject.version,
        "who": subject.who,
        "unit": subject.unit,
        "made_at": datetime.now(UTC),
        "contents": _CONTENTS,
        "quality": _or_missing(partial(view_quality.quality_view, subject)),
        "calibration": _or_missing(partial(view_quality.calibration_view, subject)),
        "gain": _or_missing(partial(view_quality.gain_view, subject)),
        "cohorts": _or_missing(partial(view_quality.cohorts_view, subject)),
        "confusion": _or_missing(lambda: {"rows": quality.confusion(subject)}),
        "classes": subject.spec.classes,
        "features": view_quality.features_view(subject, known),
        "dependence": _or_missing(lambda: view_quality.dependence_view(subject, known)),
        "data": {"lead": _data_lead(subject)},
        "drift": _or_missing(lambda: view_life.drift_view(life.drift(subject))),
        "alerts": _or_missing(lambda: view_life.alerts_view(life.alerts(subject))),
        "experiments": _or_missing(lambda: view_life.experiments_view(life.experiments(subject))),
        "serving": _or_missing(lambda: view_life.serving_view(life.serving(subject))),
        "matured": _or_missing(lambda: view_life.matured_view(subject)),
        "history": view_life.history_view(subject),
        "gates": _or_missing(lambda: {"rows": life.gates(subject)}),
        "runs": _or_missing(lambda: {"rows": life.runs(subject)}),
        "facts": _facts(subject),
    }
    return page | {"summary": summary.sentences(page), "tiles": summary.tiles(page)}


def _or_missing(section: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A section with `is_there`, or `missing`: why there is none; "" where none belongs."""
    try:
        return {"is_there": True, "missing": ""} | section()
    except Missing as why:
        return {"is_there": False, "missing": str(why)}


def _data_lead(subject: Subject) -> str:
    version, label = subject.version, subject.contract.label
    about = subject.texts.get(label, "")
    return (
        f"{version.training_rows:,} {subject.who} from {scales.day(version.training_from)} to "
        f"{scales.day(version.training_to)}, with {len(subject.contract.features)} features each. "
        f"What it learnt to answer is {label}{f': {about}' if about else '.'}"
    )


def _facts(subject: Subject) -> list[tuple[str, str]]:
    version = subject.version
    return [
        ("Model file", f"{version.sha256}, {version.bytes:,} bytes"),
        ("Training data", f"fingerprint {version.training_fingerprint:016x}"),
        ("Specification", version.spec_hash),
        ("Fitted with", ", ".join(f"{k} {v}" for k, v in sorted(version.libraries.items()))),
        ("Contract", subject.contract.text),
        ("Made by", f"./treehouse report {subject.spec.use_case}, all numbers by SQL in ClickHouse "
         f"{subject.client.server_version}; this page loads nothing from anywhere"),
    ]  # fmt: skip
