"""The report: its numbers are the registry's and the engine's, and nothing in it is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.automation.conftest import NAME, Shop
from tests.support.some import some
from treehouse.cli.main import app
from treehouse.monitor.run import check
from treehouse.monitor.state import Finding, record
from treehouse.project.errors import TreehouseError
from treehouse.registry.promotions import promote
from treehouse.report import Page, features, quality, write_page
from treehouse.report.subject import Subject, find_subject
from treehouse.spec import load_spec

HOSTILE = """<script>alert("1")</script>'&<img src=http://evil.example/x>"""
SECTIONS = ("quality", "why", "data", "drift", "experiments", "serving", "history")
_VOID = {"meta", "link", "img", "br", "rect", "line", "circle", "path"}


class Outline(HTMLParser):
    """What a browser would find: sections, links to elsewhere, and whether all tags are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.elsewhere: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each tag that opens."""
        self.tags.add(tag)
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            leads = name in ("src", "href", "action", "data", "xlink:href")
            if leads and not (value or "").startswith(("#", "data:,")):
                self.elsewhere.append(f"{name}={value}")

    def handle_endtag(self, tag: str) -> None:
        """Called for each tag that closes."""
        if tag not in _VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def watched(answering: Shop) -> Iterator[Shop]:
    """A shop that was monitored, with a hostile reason, actor and alert."""
    client, settings = answering.engine.client, answering.engine.settings
    promote(client, settings, NAME, 1, HOSTILE)
    check(client, settings, answering.spec)
    record(client, settings, [(Finding(NAME, 1, "drift", HOSTILE, "error", 1, 0, HOSTILE), "open")])
    yield answering
    for table in ("alert_events", "drift", "health", "quality"):
        client.command(f"truncate table treehouse_registry.{table}")


@pytest.fixture(scope="module")
def subject(watched: Shop) -> Subject:
    """What the report is about."""
    return find_subject(watched.engine.client, watched.engine.settings, watched.spec)


@pytest.fixture(scope="module")
def page(watched: Shop) -> Page:
    """The report."""
    return write_page(watched.engine.client, watched.engine.settings, watched.spec)


def words(page: Page) -> str:
    """The page as text."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.html))


def test_every_section_is_there_and_the_page_stands_alone(page: Page) -> None:
    outline = Outline(page.html)
    assert outline.open == []
    assert set(SECTIONS) <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.elsewhere == []
    assert outline.tags.isdisjoint({"script", "img", "iframe", "object", "form"})
    assert "@import" not in page.html
    assert "url(" not in page.html
    assert len(page.html) < 1_000_000


def test_what_comes_from_tables_is_escaped(page: Page) -> None:
    assert HOSTILE not in page.html
    assert page.html.count("&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;") >= 3


def test_what_has_no_data_says_why(page: Page) -> None:
    assert page.left_out["experiments"] == f"No experiment has run on {NAME}."
    assert set(page.left_out) <= {"experiments", "serving", "confusion", "matured", "cohorts"}
    assert all(why in words(page).replace("&#39;", "'") for why in some(page.left_out.values()))


def test_it_begins_with_sentences_made_of_the_numbers(page: Page, subject: Subject) -> None:
    found = re.search(r'id="summary">(.*?)</div>', page.html, re.DOTALL)
    assert found is not None
    sentences = re.findall(r"<p>(.*?)</p>", found[1])
    assert 3 <= len(sentences) <= 5
    metrics = subject.version.metrics
    assert f"{NAME} (the mean) was off by ${metrics['model']['rmse']:,.2f} (root" in sentences[1]
    assert f"it was off by ${metrics['typical']['mae']:,.2f} on average" in sentences[1]
    assert f"On {metrics['rows']:,} customers" in sentences[1]
    assert "a thousand dollars" in sentences[1]
    assert "need a look" in sentences[-1] or "needs a look" in sentences[-1]


def test_tenths_are_those_of_the_trainer(subject: Subject) -> None:
    tenths, metrics = quality.calibration(subject), subject.version.metrics
    trained = metrics["model"]["deciles"]
    # The trainer's first tenths are a row larger where rows don't divide by ten.
    for ours, theirs in zip(tenths, trained, strict=True):
        assert ours["predicted"] == pytest.approx(theirs["predicted"], rel=0.02)
    assert sum(t["rows"] for t in tenths) == metrics["rows"]
    total = sum(t["actual"] * t["rows"] for t in tenths)
    sums = "select sum(future_amount) from treehouse.purchase_value_training_set where split='test'"
    assert total == pytest.approx(subject.client.query(sums).result_rows[0][0])
    inside = sum(t["inside"] * t["rows"] for t in tenths) / metrics["rows"]
    assert inside == pytest.approx(metrics["interval"]["coverage"])


def test_gain_rises_from_nothing_to_all_and_no_order_beats_the_perfect_one(
    subject: Subject,
) -> None:
    model, perfect, rule = quality.gain(subject)
    assert [c["kind"] for c in (model, perfect, rule)] == ["model", "best", "rule"]
    for curve in (model["curve"], perfect["curve"], rule["curve"]):
        assert (len(curve), curve[0], curve[-1]) == (51, 0.0, pytest.approx(1.0))
        assert sorted(curve) == curve
        assert all(c <= p + 1e-12 for c, p in some(zip(curve, perfect["curve"], strict=True)))
    assert sum(model["curve"]) > sum(rule["curve"]), "all the same is a random order"


def test_dependence_is_the_mean_of_the_sql_function(subject: Subject) -> None:
    known = features.features(subject)
    assert sum(row["importance"] for row in known) == pytest.approx(1.0)
    chart = features.dependence(subject, known)[0]
    name, point = chart["name"], chart["points"][len(chart["points"]) // 2]
    columns = [f.name for f in subject.contract.features]
    arguments = [repr(point["value"]) if column == name else column for column in columns]
    expected = subject.client.query(
        f"select avg(predict_{NAME}({', '.join(arguments)})) from ("
        f"select * from ({subject.held_out()}) order by row_key limit {features.SAMPLE})"
    ).result_rows[0][0]
    assert point["predicted"] == pytest.approx(expected)


def test_groups_add_up_to_the_rows(subject: Subject) -> None:
    found = quality.cohorts(subject)
    assert found["by"] == "least(visits_6m, 5)"
    assert sum(c["rows"] for c in found["cohorts"]) <= subject.version.metrics["rows"]


def test_an_older_contract_leaves_out_what_can_not_be_asked(
    watched: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from treehouse.project.contract import Contract

    monkeypatch.setattr(Contract, "hash", "0" * 32)
    page = write_page(watched.engine.client, watched.engine.settings, watched.spec)
    assert "was trained for other features" in page.left_out["calibration"]
    assert {"gain", "calibration", "dependence"} <= set(page.left_out)
    assert "quality" not in page.left_out


def test_nothing_published_is_an_error(watched: Shop) -> None:
    with pytest.raises(TreehouseError, match="nothing to report"):
        write_page(watched.engine.client, watched.engine.settings, load_spec("ltv"))


def test_the_command_writes_a_file(
    watched: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(*arguments: str) -> Any:
        words = ["--target", watched.engine.target, "report", NAME, *arguments]
        return CliRunner().invoke(app, words)

    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    path = tmp_path / "new" / "page.html"
    found = json.loads(report("--out", str(path), "--open", "--json").stdout)
    assert (found["path"], found["version"]) == (str(path), 1)
    assert found["bytes"] == path.stat().st_size
    assert path.read_text().startswith("<!DOCTYPE html>")
    assert opened == [path.as_uri()]
    assert report("--out", "-").stdout.lstrip().startswith("<!DOCTYPE html>")
    (tmp_path / "file").write_text("")
    refused = report("--out", str(tmp_path / "file" / "page.html"))
    assert isinstance(refused.exception, TreehouseError)
    assert "--out" in str(refused.exception)
