"""The page is whole, escaped, the same every time; and hides what did not prove itself."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bioicons_pipeline.evaluation.figures import loss_measures
from bioicons_pipeline.evaluation.heldout import SIGMAS, Losses
from bioicons_pipeline.evaluation.icons import RealIcon
from bioicons_pipeline.evaluation.intervals import Estimate
from bioicons_pipeline.evaluation.measure import BASE, REAL, Measure, Proof, Verdict, lower_is_better
from bioicons_pipeline.evaluation.memorization import PromptCopies
from bioicons_pipeline.evaluation.records import Evaluation, Row, png_of
from bioicons_pipeline.evaluation.report import make_report, markdown_table
from bioicons_pipeline.training.data import families_in_turn

EVIL = '<script>alert("1")</script>'
LORA = f"{EVIL}.safetensors"


def real(number: int, family: int = 0, name: str = "mouse") -> RealIcon:
    png = png_of(Image.new("RGB", (8, 8), "red"))
    return RealIcon(f"icon{number}", name, "Animals", EVIL, "CC0-1.0", "https://a", f"f{family}", "c", png)


def measure(key: str, holds: bool = True) -> Measure:
    line = Estimate(0.25, 0.123456789, 0.5, 8)
    lines = {REAL: Estimate(0.1, None, None, 1), BASE: line, LORA: line}
    verdicts = {LORA: Verdict("good", f"Says {key}.")}
    return Measure(key, f"Title of {key}", "Explained.", "lower", lines, {LORA: line}, verdicts,
                   (Proof(f"{key} holds", holds),))  # fmt: skip


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    families = tuple(f"f{number}" for number in range(6))
    own = np.random.default_rng(0).random((len(SIGMAS), 6))
    losses, measures = loss_measures(
        {BASE: Losses(own, own + 0.1), LORA: Losses(own - 0.05, own)}, families, ("Animals",) * 3 + ("B",) * 3
    )
    png = png_of(Image.new("RGB", (16, 16), "blue"))
    facts = {
        "base": "flux-toy", "heldout_icons": 6, "heldout_families": 6, "training_icons": 9,
        "pictures_of_each_model": 4, "adapters": [{"name": LORA, "sha256": "0" * 64, "version": ""}],
        "heldout_ids": [], "embedding_model": None,
    }  # fmt: skip
    return Evaluation(
        models=(BASE, LORA),
        measures=(*measures, measure("style"), measure("words", holds=False), measure("copies")),
        losses=losses,
        features=[{"feature": "coverage", REAL: 0.1, "real icons off": 0.0, BASE: 0.2, "base off": 1.0,
                   LORA: 0.3, f"{LORA} off": 2.0}],
        copies={LORA: (PromptCopies(EVIL, 2, 1, 0.95, "icon1"), PromptCopies("b", 2, 0, 0.5, "icon2"))},
        rows=(Row(EVIL, real(1), png, {BASE: png, LORA: png}),),
        facts=facts,
    )  # fmt: skip


def test_names_of_strangers_are_escaped_and_nothing_is_loaded_from_elsewhere(evaluation):
    page = make_report(evaluation, f"Better? {EVIL}").page.decode()
    assert "<script" not in page and "&lt;script&gt;alert(&quot;1&quot;)" in page
    assert not re.search(r'(src|href)="(?!data:)', page) and "default-src 'none'" in page
    assert page.count("<html") == page.count("</html>") == 1 and page.startswith("<!doctype html>")


def test_what_did_not_prove_itself_is_neither_on_the_page_nor_in_the_data(evaluation):
    report = make_report(evaluation, "Better?")
    page, data = report.page.decode(), json.loads(report.data)
    assert "Says style." in page and "Says words." not in page and "it does not hold that words holds" in page
    assert data["measures"]["words"]["lines"] == {} == data["measures"]["words"]["verdicts"]
    assert data["measures"]["style"]["lines"][BASE]["low"] == 0.123457
    assert set(report.plots) == {"loss", "caption_use", "style", "copies", "features"}
    assert data["losses"][LORA]["change_by_category"].keys() == {"Animals", "B"} and "by category" in page
    assert "1 of 2" in page  # copies of the one prompt that has one


def test_that_some_icons_chose_the_step_is_said(evaluation):
    """The interval is over all held-out icons, those included whose loss decided which step was kept."""
    said = "icons also helped to choose which step of"
    assert said not in make_report(evaluation, "Better?").page.decode()
    (adapter,) = evaluation.facts["adapters"]
    facts = {**evaluation.facts, "adapters": [{**adapter, "choosing_icons": 4}]}
    page = make_report(replace(evaluation, facts=facts), "Better?").page.decode()
    assert f"Up to 4 of these 6 {said} &lt;script&gt;" in page and "<script" not in page


def test_the_same_evaluation_gives_the_same_bytes(evaluation):
    first, again = (make_report(evaluation, "Better?") for _ in range(2))
    assert first.page == again.page and first.data == again.data and first.plots == again.plots


def test_the_table_for_the_ui(evaluation):
    table = markdown_table(json.loads(make_report(evaluation, "Better?").data))
    assert "| Title of style | 0.100 () |" in table.replace("(–)", "()") and "0.250 (0.123 to 0.500)" in table


def test_verdicts_in_words():
    good, unsure, bad = Estimate(-1, -2, -0.5, 8), Estimate(-1, -2, 1, 8), Estimate(0.0, -1, 1, 8)
    said = [lower_is_better(change, "Closer to real icons") for change in (good, unsure, bad)]
    assert [one.state for one in said] == ["good", "unsure", "bad"]
    assert [one.sentence for one in said] == [
        "Closer to real icons than the base.",
        "Closer to real icons than the base, but too few icons to be sure.",
        "Not closer to real icons than the base.",
    ]


def test_some_icons_are_of_all_families_first():
    icons = [real(number, number // 4) for number in range(40)]
    chosen = families_in_turn(icons, 10)
    assert len({icon.family_id for icon in chosen}) == 10 and chosen == families_in_turn(icons[::-1], 10)
    assert len(families_in_turn(icons, 100)) == 40
