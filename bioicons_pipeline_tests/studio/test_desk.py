"""The studio's buttons without a browser: what they say and leave, and that names are never markup."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation import make
from bioicons_pipeline.generation.copies import CopyIndex
from bioicons_pipeline.generation.found import DrawnHit
from bioicons_pipeline.generation.make import Wish
from bioicons_pipeline.generation.search import IconSearch
from bioicons_pipeline.generation.training_icons import TrainingIcons
from bioicons_pipeline.studio.desk import Choice, Services, StoppedError, draw, look
from bioicons_pipeline_tests.generation.test_make import BLANK, disc, workshop

EVIL = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) `x` **x**"
ROW = {
    "icon_id": "1", "sha256": "ab" * 32, "name": "mast_cell", "category": "Cells", "author": "Ann",
    "spdx": "CC0-1.0", "author_url": None, "licence_url": "https://example.org/cc0",
    "source_url": "https://example.org/mast (1).svg",
    "source_path": "cc-0/Cells/Ann/mast_cell.svg", "exclusion_reason": "", "all_reasons": "",
    "family_id": "f",
}  # fmt: skip


@pytest.fixture
def services(tmp_path, monkeypatch):
    """A studio whose model draws discs, and nothing for seed 13."""

    def sample(_pipeline, prompts, seeds, settings, *, scales, progress):
        progress(1, 1)
        return [BLANK if seed == 13 else disc(seed) for seed in seeds]

    monkeypatch.setattr(make, "sample", sample)
    monkeypatch.setattr(make, "precision_of", lambda _pipeline: "fp32")
    monkeypatch.setattr(make, "unread", lambda _pipeline, caption, _settings: caption[200:])
    frame = pd.DataFrame(
        [ROW, ROW | {"icon_id": "2", "name": "neuron", "author": EVIL, "source_url": "javascript:x"}]
    )
    return Services(
        categories=["Cells"],
        loras=["library"],
        model="toy",
        search=lambda query, category: IconSearch(frame).find(query, category=category),
        draw=lambda found: [DrawnHit(hit, b"<svg/>", b"png") for hit in found.hits],
        workshop=lambda choice, warn: workshop(),
        out=tmp_path,
    )


def last(answers):
    return list(answers)[-1]


def test_an_icon_that_exists_comes_with_licence_citation_and_files(services):
    answer = look(services, "mast cell", None)
    (icon,) = answer.icons
    assert "Ann" in icon.facts and "CC0" in icon.facts
    assert "https://example.org/mast%20%281%29.svg" in icon.facts
    assert icon.credit.startswith("mast cell icon by Ann") and "Changes: the SVG rewritten" in icon.credit
    assert {kind: path.read_bytes() for kind, path in icon.files.items()} == {"PNG": b"png", "SVG": b"<svg/>"}


def test_names_from_strangers_are_no_markup(services):
    (icon,) = look(services, "neuron", "Cells").icons
    author = icon.facts.partition(" by ")[2].partition(" · Cells")[0]
    assert "&lt;img" in author and not re.search(r"(?<!\\)[<*`\[]", author)
    assert "](javascript" not in icon.facts and "javascript:x" not in icon.facts


def test_what_cannot_be_found_is_said(services):
    assert "No icon of the library is called that" in look(services, "qqqq", None).words
    assert "nothing to search for" in look(services, " ", None).words

    def gone(query, category):
        raise BioiconsError("There is no library here yet: fetch it.")

    answer = look(replace(services, search=gone), "mast cell", None)
    assert "no library here yet" in answer.words and not answer.icons


def test_icons_come_one_after_another_with_files_and_credit(services):
    answers = list(draw(services, lambda: Wish("a disc", count=3, seed=12), Choice("library")))
    assert [len(answer.icons) for answer in answers] == [1, 1, 2]
    assert "Seed 13" in answers[-1].words and "2 icons drawn" in answers[-1].words
    icon = answers[-1].icons[0]
    assert set(icon.files) == {"PNG", "SVG", "Card"} and all(path.is_file() for path in icon.files.values())
    assert "AI-generated, not reviewed" in icon.credit and "flux-toy" in icon.credit
    assert "not bioicons style" in answers[-1].words  # no LoRA in this workshop


def test_a_likely_copy_is_marked_with_what_to_cite(services):
    known = TrainingIcons(CopyIndex.build({"1": disc(7)}), {"1": ROW | {"author_url": ""}})
    copied = replace(services, workshop=lambda choice, warn: workshop(known))
    (icon,) = last(draw(copied, lambda: Wish("a disc", count=1, seed=7), Choice("library"))).icons
    assert "LIKELY A COPY" in icon.label and "Likely a copy" in icon.facts
    assert icon.credit.startswith("mast cell icon by Ann")


@pytest.mark.parametrize(
    "wish, said",
    [
        (lambda: Wish("   "), "prompt is empty"),
        (lambda: Wish("x" * 10_000), "10000 characters"),
        (lambda: Wish("x", count=17), "at most 16"),
        (lambda: Wish("x", seed=-1), "outside 0"),
    ],
)
def test_a_wish_that_cannot_be_made_is_one_sentence(services, wish, said):
    answer = last(draw(services, wish, Choice("library")))
    assert said in answer.words and not answer.icons


def test_whoever_stops_keeps_what_was_finished(services):
    seen = []

    def stopping(_done, _total):
        seen.append(1)
        if len(seen) > 2:
            raise StoppedError

    answers = list(draw(services, lambda: Wish("a disc", count=4), Choice("library"), progress=stopping))
    assert "Stopped" in answers[-1].words and len(answers[-1].icons) == 2
    assert len(list(services.out.glob("*.json"))) == 2


def test_no_model_is_a_plain_message(services):
    def none(choice, warn):
        raise BioiconsError("The base model is not there: log in first.")

    answer = last(draw(replace(services, workshop=none), lambda: Wish("x"), Choice("library")))
    assert "not there" in answer.words and not answer.icons
