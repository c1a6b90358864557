"""The report: complete, and one file that opens without a network."""

import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from compiler.explain.layers import short_name
from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.report.card import make_card
from compiler.report.charts.axis import Axis
from compiler.report.charts.confusion import confusion
from compiler.report.charts.layers import LayerBar, layers
from compiler.report.charts.pareto import front, pareto
from compiler.report.charts.point import Point
from compiler.report.placed import placement_of
from compiler.result import Compiled
from edge import console
from edge.manifest import Latency


class Tags(HTMLParser):
    """Collects open tags and attributes, and complains of what is never closed."""

    VOID = frozenset({"meta", "img", "br", "line", "circle", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, colour_model: Path, colour_pictures: Path) -> Compiled:
    order = Order(target="raspberrypi4", output=tmp_path_factory.mktemp("report") / "colour-1.edge")
    request = Request(model=str(colour_model), data=colour_pictures, order=order)
    return compile_model(request, stage=console.progress, warn=lambda _: None)


@pytest.fixture(scope="module")
def page(compiled: Compiled) -> str:
    return (compiled.report / "report.html").read_text("utf-8")


def test_the_page_asks_for_nothing_outside_itself(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    for tag, attributes in tags.seen:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base"}
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert (attributes.get(name) or "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_says_what_was_chosen_why_and_why_not_the_others(compiled: Compiled, page: str) -> None:
    text = re.sub(r"<[^>]+>", "", page)
    for reason in compiled.choice.reasons:
        assert reason.removeprefix("not ")[1:] in text
    assert f"{compiled.main.quality.compiled:.2%}" in text
    assert "at most" in text
    assert f"unproven: {compiled.main.candidate.dtype}" in text
    assert all(f"{name} {count}" in text for name, count in (("Calibrate", 24), ("Select", 24), ("Report", 72)))
    assert compiled.manifest.provenance.source_sha256 in text
    assert "0.00392157" in text  # the input contract's scale


def test_changed_decisions_are_shown_with_their_pictures(compiled: Compiled, page: str) -> None:
    changed = np.flatnonzero(compiled.reference.predicted != compiled.judged.scores.predicted)
    assert page.count("data:image/png;base64,") == min(24, len(changed))
    for at in changed:
        assert compiled.report_part.where[at] in page


def test_report_json_is_what_json_prints(compiled: Compiled) -> None:
    report = json.loads((compiled.report / "report.json").read_text())
    assert report["chosen"] == {"runtime": "litert", "dtype": compiled.main.candidate.dtype}
    assert {"metric", "float", "compiled", "drop", "ci95", "upper95", "agreement", "samples"} < set(report["quality"])
    assert {one["kind"] for one in report["latency"]} == {"measured"}
    assert len(report["candidates"]) == len(compiled.measured) >= 4


def test_hostile_labels_are_only_text() -> None:
    counts = np.array([[3, 1], [0, 2]])
    drawing = confusion(counts, ("<script>alert(1)</script>", '"><img src=x>'))
    assert "<script" not in drawing
    assert "<img" not in drawing


def test_very_many_classes_are_not_drawn_cell_by_cell() -> None:
    assert confusion(np.eye(1000, dtype=np.int64), [str(i) for i in range(1000)]) == ""


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.013, 0.021), (88.1, 91.3), (0, 731)])
def test_axes_have_a_few_round_ticks_inside(low: float, high: float) -> None:
    ticks = Axis(low, high, 0, 100).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


def test_the_bill_of_materials_lies_beside_and_names_the_bundle(compiled: Compiled) -> None:
    found = json.loads((compiled.report / "sbom.cdx.json").read_text("utf-8"))
    digest = hashlib.sha256(compiled.bundle.read_bytes()).hexdigest()
    assert found["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_the_card_says_what_it_is_how_good_and_what_was_not_measured(compiled: Compiled) -> None:
    card = (compiled.report / "card.md").read_text("utf-8")
    assert card == make_card(compiled)
    for heading in ("What it is", "Input", "Data", "Quality", "Latency", "Limits", "Provenance"):
        assert f"\n## {heading}\n" in card
    quality, provenance = compiled.manifest.quality, compiled.manifest.provenance
    for said in (
        f"{quality.agreement:.2%}",
        f"**{quality.verdict}**",
        provenance.source_sha256,
        provenance.data_sha256,
    ):
        assert said in card
    assert f"{len(compiled.split.calibrate)} samples set ranges" in card
    assert "No board has timed it" in card
    assert str(compiled.bundle.parent) not in card


def test_the_pareto_front_holds_who_has_neither_less_loss_nor_less_time() -> None:
    assert front([(3.0, 0.0), (1.0, 0.5), (2.0, 0.6), (1.0, 0.9)]) == [1, 0]


def test_layers_are_drawn_with_what_stands_out_marked() -> None:
    drawn = layers([LayerBar("<a>", 12.0, True, "<a>: weights"), LayerBar("b", -3.0, False, "b")])
    assert drawn.count('class="bar bad"') == 1
    assert "<a>" not in drawn
    assert layers([]) == ""


def test_the_page_says_what_was_tried_what_each_layer_costs_and_where_it_computes(
    compiled: Compiled, page: str
) -> None:
    for one in compiled.measured:
        assert f"<code>{one.candidate.plan}</code>" in page
    assert compiled.layers.rows
    assert all(f">{short_name(row.name)}</td>" in page for row in compiled.layers.rows)
    placement = placement_of(compiled)
    assert sum(group.operators for group in placement.groups) == len(compiled.placement.ledger.rows) >= 4
    assert all(group.kinds in page for group in placement.groups)
    assert "None found." in page


def test_times_that_nobody_could_predict_are_not_drawn_and_those_predicted_are(compiled: Compiled) -> None:
    points = [Point(f"form {at}", one, at == 0) for at, one in enumerate(compiled.measured)]
    assert pareto(points, "cortex-a72") == ""
    slow = Latency(
        core="cortex-a72", runtime="onnxruntime", kind="predicted", ms=2.0, low=1.0, high=3.0, source="a test"
    )
    timed = [replace(point, measured=replace(point.measured, predicted=slow)) for point in points]
    drawn = pareto(timed, "cortex-a72")
    assert drawn.count('class="whisker"') == len(points)
    assert drawn.count('class="front"') == 1
