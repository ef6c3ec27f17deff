"""The card goes into PNG and SVG and comes back the same, whatever is written in it."""

import datetime
import io
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from PIL import Image

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation import carriers, provenance, review

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><title>t</title><path d="M0 0h8v8z"/></svg>'
NASTY = "]]><script>&amp; \u202e \x00\x1b \ufffe \U0001f600 'quotes\" Ünï 细胞"


def png_of(colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (9, 7), colour).save(out, "PNG")
    return out.getvalue()


def a_card(**changes) -> provenance.Card:
    facts = {
        "generator": "bioicons_pipeline 0.1.0",
        "prompt": "a tardigrade, side view",
        "caption": "bioicons style icon of a tardigrade, side view",
        "seed": 7,
        "size": 64,
        "steps": 4,
        "guidance": 3.5,
        "base": {
            "name": "flux-tiny",
            "licence": "MIT",
            "licence_url": "https://spdx.org/licenses/MIT",
            "commercial_use": True,
        },
        "adapters": ({"name": "animals", "sha256": "ab" * 32, "scale": 1.0},),
        "dataset_version": "cd" * 32,
        "upstream_commit": "f3f18b86",
        "licence_preset": "attribution",
        "copy_score": 0.97,
        "copy_threshold": 0.95,
        "likely_copy": True,
        "nearest": (
            {
                "icon_id": "0123456789abcdef",
                "name": "tardigrade_1",
                "author": "A. <b>Author</b>",
                "author_url": "https://example.org/?a=1&b=2",
                "spdx": "CC-BY-4.0",
                "licence_url": "https://creativecommons.org/licenses/by/4.0/",
                "source_url": "https://example.org/tardigrade.svg",
                "similarity": 0.97,
            },
        ),
    }
    return provenance.make_card(**(facts | changes))


@given(st.text(max_size=60), st.integers(0, 2**63 - 1))
@settings(max_examples=40, deadline=None)
def test_any_prompt_comes_back_from_both_files(prompt, seed):
    card = a_card(prompt=prompt, seed=seed)
    assert carriers.read_png(carriers.embed_png(png_of(), card)) == card
    assert carriers.read_svg(carriers.embed_svg(SVG, card)) == card
    assert provenance.from_json(provenance.to_json(card)) == card


def test_what_is_nasty_stays_text():
    card = a_card(prompt=NASTY)
    svg = carriers.embed_svg(SVG, card)
    assert not etree.fromstring(svg).xpath("//*[local-name()='script']")
    assert carriers.read_svg(svg) == card
    assert carriers.read_png(carriers.embed_png(png_of(), card)).prompt == NASTY


def test_the_png_is_the_same_picture_and_a_second_card_replaces_the_first():
    png = png_of()
    once = carriers.embed_png(png, a_card(seed=1))
    twice = carriers.embed_png(once, a_card(seed=2))
    assert Image.open(io.BytesIO(twice)).tobytes() == Image.open(io.BytesIO(png)).tobytes()
    assert carriers.read_png(twice).seed == 2
    assert twice == carriers.embed_png(png, a_card(seed=2))
    text = Image.open(io.BytesIO(twice)).text
    assert set(text) == {"bioicons-provenance", "XML:com.adobe.xmp"}
    etree.fromstring(text["XML:com.adobe.xmp"])


def test_the_svg_says_it_in_dublin_core_and_creative_commons_terms():
    root = etree.fromstring(carriers.embed_svg(carriers.embed_svg(SVG, a_card(seed=1)), a_card()))
    names = {"dc": provenance.DC, "cc": provenance.CC, "rdf": provenance.RDF, "dct": provenance.DCTERMS}
    assert len(root.xpath("//*[local-name()='metadata']")) == 1
    assert "not reviewed" in root.xpath("string(//rdf:RDF/cc:Work/dc:rights)", namespaces=names)
    nearest = root.xpath("//dct:relation/cc:Work", namespaces=names)[0]
    assert nearest.get(f"{{{provenance.RDF}}}about") == "https://example.org/tardigrade.svg"
    licence = nearest.find(f"{{{provenance.CC}}}license").get(f"{{{provenance.RDF}}}resource")
    assert licence == "https://creativecommons.org/licenses/by/4.0/"
    assert root.xpath("//dct:isVersionOf", namespaces=names), "a likely copy points at its original"


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, f"trained on the icons of dataset {'cd' * 32}, from an icon library at f3f18b86"),
        ({"upstream_commit": ""}, f"trained on the icons of dataset {'cd' * 32}"),
        ({"dataset_version": ""}, "trained on an icon library at f3f18b86"),
        ({"dataset_version": "", "upstream_commit": ""}, ""),
    ],
)
def test_the_svg_says_what_was_learnt_from_and_claims_no_library(known, said):
    """It may have been the starter library or one's own: the card does not know, so it says no name."""
    root = etree.fromstring(carriers.embed_svg(SVG, a_card(**known)))
    assert root.xpath("string(//dct:provenance)", namespaces={"dct": provenance.DCTERMS}) == said


def test_a_signed_off_svg_no_longer_describes_itself_as_not_reviewed():
    drawn = b'<svg xmlns="http://www.w3.org/2000/svg"><desc>AI-generated, not reviewed. a cell</desc></svg>'
    signed = {"reviewer": "0000-0002-1825-0097", "verdict": "approved", "date": "2026-11-28"}
    card = a_card(reviews=[signed])
    root = etree.fromstring(carriers.embed_svg(drawn, card))
    assert (
        root.findtext("{*}desc")
        == f"AI-generated, approved by {signed['reviewer']} on 2026-11-28. {card.caption}"
    )
    own = drawn.replace(b"AI-generated, not reviewed. a cell", b"my own words")
    assert etree.fromstring(carriers.embed_svg(own, card)).findtext("{*}desc") == "my own words"


def test_a_likely_copy_names_the_icon_to_cite():
    assert a_card().cite_instead.startswith(
        "tardigrade 1 icon by A. <b>Author</b> https://example.org/?a=1&b=2 is"
    )
    assert a_card(likely_copy=False).cite_instead is None
    assert json.loads(provenance.to_json(a_card()))["status"] == "AI-generated, not reviewed"


def test_what_readers_are_told_is_never_believed():
    facts = json.loads(provenance.to_json(a_card()))
    facts["status"] = "approved by everybody"
    assert provenance.from_json(json.dumps(facts)).status == "AI-generated, not reviewed"


DAMAGED_PNG = bytearray(carriers.embed_png(png_of(), a_card()))
DAMAGED_PNG[60] ^= 1


@pytest.mark.parametrize(
    ("data", "suffix", "words"),
    [
        (b"", ".png", "no PNG"),
        (bytes(DAMAGED_PNG), ".png", "damaged"),
        (png_of()[:-9], ".png", "damaged"),
        (png_of(), ".png", "no card"),
        (SVG, ".svg", "no card"),
        (SVG[:-3], ".svg", "no well-formed XML"),
        (b"<html/>", ".svg", "no SVG"),
        (b"[1]", ".json", "no JSON object"),
        (b"{", ".json", "no JSON object"),
        (b"[" * 5000, ".json", "no JSON object"),
        (b"{}", ".json", "damaged: generator"),
        (b"x", ".exe", "carries no card"),
    ],
)
def test_bad_files_are_one_sentence(data, suffix, words):
    with pytest.raises(BioiconsError, match=words) as error:
        carriers.read_card(data, suffix)
    assert "\n" not in str(error.value)


def test_an_entity_in_the_svg_is_not_expanded():
    bomb = b'<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg">&b;</svg>'
    assert b"aaaaaaaa" not in carriers.embed_svg(bomb, a_card())


def test_a_wrong_field_is_named():
    with pytest.raises(BioiconsError, match="seed"):
        a_card(seed="seven")
    with pytest.raises(BioiconsError, match="prompt"):
        a_card(prompt="x" * 30_000)


@pytest.mark.parametrize(
    "orcid",
    [
        "0000-0002-1825-0097",
        "https://orcid.org/0000-0002-1825-0097",
        "0000000218250097",
        "0000-0002-1694-233x",
    ],
)
def test_right_orcids_are_written_as_addresses(orcid):
    assert review.check_orcid(orcid).startswith("https://orcid.org/0000-0002-1")


@pytest.mark.parametrize(
    "orcid", ["0000-0002-1825-0098", "0000-0002-1825-009", "Jane", "", "٠٠٠٠-0002-1825-0097"]
)
def test_wrong_orcids_are_refused(orcid):
    with pytest.raises(BioiconsError, match="ORCID"):
        review.check_orcid(orcid)


def icon_files(folder) -> carriers.IconFiles:
    return carriers.write_icon(
        folder, "tardigrade-7", Image.new("RGBA", (16, 16), "red"), SVG.decode(), a_card()
    )


def test_a_sign_off_reaches_every_file(tmp_path):
    files = icon_files(tmp_path)
    day = datetime.date(2026, 1, 2)
    done = review.review(files.svg, "0000-0002-1825-0097", "approved", note="six legs only", date=day)
    assert set(done.files) == {files.png, files.svg, files.card}
    for path in done.files:
        card = carriers.read_card(path.read_bytes(), path.suffix)
        assert card == done.card
        assert card.status == "AI-generated, approved by https://orcid.org/0000-0002-1825-0097 on 2026-01-02"
    again = review.review(files.png, "0000-0002-1694-233X", "rejected", date=day)
    assert [item.verdict for item in again.card.reviews] == ["approved", "rejected"]
    assert again.card.status.startswith("AI-generated, rejected by"), "the last word counts"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "tardigrade-7.json",
        "tardigrade-7.png",
        "tardigrade-7.svg",
    ]


def test_a_failing_disk_leaves_every_file_as_it_was(tmp_path, monkeypatch):
    files = icon_files(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    calls = []

    def full(handle):
        calls.append(handle)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(review.os, "fsync", full)
    with pytest.raises(BioiconsError, match="No space left on device"):
        review.review(files.card, "0000-0002-1825-0097", "approved")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_cannot_be_signed_off_is_said(tmp_path):
    files = icon_files(tmp_path)
    with pytest.raises(BioiconsError, match="no verdict"):
        review.review(files.png, "0000-0002-1825-0097", "superb")
    with pytest.raises(BioiconsError, match="no file"):
        review.review(tmp_path / "other.png", "0000-0002-1825-0097", "approved")
    with pytest.raises(BioiconsError, match="carries no card"):
        review.review(tmp_path / "other.txt", "0000-0002-1825-0097", "approved")
    files.card.write_text(provenance.to_json(a_card(seed=8)))
    with pytest.raises(BioiconsError, match="another card"):
        review.review(files.png, "0000-0002-1825-0097", "approved")


@pytest.mark.parametrize("stem", ["", "../x", "a/b", ".hidden"])
def test_names_that_leave_the_folder_are_refused(tmp_path, stem):
    with pytest.raises(BioiconsError, match="no name for a file"):
        carriers.write_icon(tmp_path, stem, Image.new("RGBA", (4, 4)), None, a_card())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BioiconsError, match="cannot be written"):
        carriers.write_icon(tmp_path / "file", "x", Image.new("RGBA", (4, 4)), None, a_card())


def test_checksums_of_the_chunks_are_right():
    for kind, data in carriers._chunks(carriers.embed_png(png_of(), a_card())):
        assert len(kind) == 4 and zlib.crc32(kind + data)
