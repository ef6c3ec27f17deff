"""Search, generate and review as a scientist starts them, on the LoRA of a real slice."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from bioicons_pipeline.generation.carriers import read_card
from bioicons_pipeline.store import Store
from bioicons_pipeline_tests.end_to_end.conftest import bioicons
from bioicons_pipeline_tests.end_to_end.test_bad_input import refused

pytestmark = [pytest.mark.bundle, pytest.mark.git]
BASE = ("--base", "flux-tiny", "--steps", "2")


@pytest.fixture(scope="module")
def generated(finished, tmp_path_factory):
    data, _, _ = finished
    out = tmp_path_factory.mktemp("icons")
    wish = ("generate", "a tardigrade, side view", "--category", "Animals", "--seed", "7", "--out", str(out))
    done = bioicons(*wish, "--count", "2", *BASE, data=data)
    assert done.returncode == 0, done.stdout + done.stderr
    return data, out, done, wish


def test_each_icon_can_be_traced_to_adapter_dataset_and_authors(generated):
    data, out, done, _ = generated
    cards = sorted(out.glob("a-tardigrade-side-view-*.json"))
    assert len(cards) == 2 and "Traceback" not in done.stderr
    ref = Store(data / "store").get_ref("lora_weights", partition="Animals", base="flux-tiny")
    for path in cards:
        card = read_card(path.read_bytes(), ".json")
        assert card.adapters[0].version == ref.version_id
        assert card.dataset_version == ref.info["dataset_version"]
        assert card.upstream_commit == ref.info["upstream_commit"] and card.licence_preset == "attribution"
        assert len(card.nearest) == 5 and all(icon.author and icon.spdx for icon in card.nearest)
        assert (
            card.caption == "bioicons style, a tardigrade, side view, zoology, isolated on a white background"
        )
        for suffix in (".png", ".svg"):
            assert read_card(path.with_suffix(suffix).read_bytes(), suffix) == card
    assert Image.open(next(out.glob("overview-*.png"))).width > 300


def test_the_same_command_makes_nothing_twice_and_the_same_seed_the_same_icon(generated, tmp_path):
    data, out, _, wish = generated
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = bioicons(*wish, "--count", "2", *BASE, data=data)
    assert again.returncode == 0 and again.stderr.count("was there") == 2
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    elsewhere = bioicons(*wish[:-1], str(tmp_path), "--count", "1", *BASE, data=data)
    assert elsewhere.returncode == 0, elsewhere.stderr
    for path in tmp_path.glob("a-*"):
        assert path.read_bytes() == before[path.name]


def test_a_person_signs_off(generated):
    data, out, _, _ = generated
    png = sorted(out.glob("a-*.png"))[0]
    orcid = "0000-0002-1825-0097"
    done = bioicons("review", str(png), "--reviewer", orcid, "--verdict", "approved", data=data)
    assert done.returncode == 0, done.stderr
    for suffix in (".png", ".svg", ".json"):
        path = png.with_suffix(suffix)
        assert read_card(path.read_bytes(), suffix).status.startswith(
            "AI-generated, approved by https://orcid"
        )
    refused(bioicons("review", str(png), "--reviewer", "me", "--verdict", "approved", data=data), "ORCID")


def test_search_shows_what_people_have_drawn(finished, tmp_path):
    data, _, _ = finished
    manifest = bioicons("manifest", "--category", "Animals", "--format", "json", data=data)
    icon = next(row for row in json.loads(manifest.stdout) if row["included"])
    done = bioicons("search", icon["name"], "--out", str(tmp_path / "found"), data=data)
    assert done.returncode == 0, done.stderr
    assert icon["author"] in done.stdout and "is licensed under" in done.stdout
    assert (tmp_path / "found" / "ATTRIBUTION.md").is_file() and list((tmp_path / "found").glob("01-*.svg"))
    nothing = bioicons("search", "zzzzqqq", data=data)
    assert nothing.returncode == 0 and "No icon of the library is called that" in nothing.stdout
    other = bioicons("search", icon["name"], "--category", "Parasites", data=data)
    assert "Nothing in Parasites, " in other.stdout and "elsewhere" in other.stdout
    twice = bioicons("search", icon["name"], "--out", str(tmp_path / "found"), data=data)
    refused(twice, "is not empty: give each search a folder of its own")


def test_bad_wishes_get_one_sentence(finished, tmp_path):
    data, _, _ = finished
    out = ("--out", str(tmp_path / "none"), "--base", "flux-tiny")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 100)
    refused(bioicons("generate", "", *out, data=data), "prompt is empty")
    refused(bioicons("generate", "x", "--lora", "Nope", *out, data=data), "no LoRA 'Nope'", "Animals")
    refused(bioicons("generate", "x", "--lora", str(broken), *out, data=data), "damaged")
    refused(bioicons("generate", "x", "--count", "1000000", *out, data=data), "1 to 1000")
    refused(bioicons("generate", "x", "--size", "100", *out, data=data), "multiple of 16")
    refused(bioicons("search", "", data=data), "nothing to search for")
    assert not (tmp_path / "none").exists()


def test_ctrl_c_keeps_what_was_finished(finished, tmp_path):
    data, _, _ = finished
    out = tmp_path / "icons"
    wish = ("generate", "a cell", "--count", "500", *BASE, "--out", str(out), "--no-svg")
    process = subprocess.Popen(
        [sys.executable, "-m", "bioicons_pipeline.cli", *wish],
        env={**os.environ, "BIOICONS_DATA_DIR": str(data)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 180
    while not list(out.glob("*.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said, said
    cards = list(out.glob("*.json"))
    assert f"{len(cards)} of 500 icons are in" in said and not list(out.glob(".*"))
    assert all(read_card(path.read_bytes(), ".json").prompt == "a cell" for path in cards)
