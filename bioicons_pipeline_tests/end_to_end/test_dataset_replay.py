"""Five real upstream states, one after the other: the dataset follows what changed, and nothing else moves.

What changed is told from the manifest, the captions and the pictures; whether the dataset followed, from the
versions and hashes in the store.
"""

import io
import json
from dataclasses import dataclass

import pyarrow.parquet as pq
import pytest

from bioicons_pipeline.orchestration.stages import captions, dataset, images, manifest, snapshot
from bioicons_pipeline.store import Store

pytestmark = [pytest.mark.bundle, pytest.mark.git, pytest.mark.slow, pytest.mark.timeout(1800)]

TAGS = ("4c77cd4e", "3289853a", "e1fa0459", "7d67472c", "f3f18b86")
PRESET = "attribution"
SIDE = 64
OF_THE_ROW = (
    *("sha256", "name", "author", "author_url", "spdx", "licence_url", "source_url"),
    *("family_id", "split"),
)


@dataclass(frozen=True)
class Built:
    """A category's dataset at one state: what should be in it, and what is."""

    icons: dict[str, tuple]
    version: str
    shards: dict[str, str]
    members: dict[str, tuple[str, ...]]
    findings: tuple[str, ...]


def build(store: Store, category: str, cache) -> Built:
    drawn = images.rasterize(store, category, SIDE, cache)
    said = captions.caption(store, category)
    made = store.version(dataset.build(store, category, PRESET).version_id)
    pictures = {entry.path: entry.sha256 for entry in store.version(drawn.version_id).files}
    texts = json.loads(store.read(said.version_id, "captions.json"))
    frame = manifest.read_manifest(store, category)
    frame = frame[frame["included"]].astype(object)
    icons = {
        row["icon_id"]: (pictures[path], texts[row["icon_id"]]["captions"], *(row[key] for key in OF_THE_ROW))
        for row in frame.where(frame.notna(), None).to_dict("records")
        if (path := f"png/{row['icon_id']}.png") in pictures
    }
    shards = {entry.path: entry.sha256 for entry in made.files if entry.path.startswith("data/")}
    members = {
        path: tuple(pq.read_table(io.BytesIO(store.read(made, path)), columns=["icon_id"])[0].to_pylist())
        for path in shards
    }
    return Built(icons, made.id, shards, members, tuple(said.facts["findings"]))


@pytest.fixture(scope="module")
def states(sample_bundle, tmp_path_factory, request) -> list[dict[str, Built]]:
    """Category -> dataset, for each of TAGS, in one store."""
    store = Store(tmp_path_factory.mktemp("replay") / "store")
    cache = request.config.cache.mkdir("library")  # renderings are kept between runs
    states: list[dict[str, Built]] = []
    known: set[str] = set()
    for tag in TAGS:
        taken = snapshot.snapshot(store, str(sample_bundle), f"upstream-{tag}", cache)
        known |= set(taken.facts["categories"])
        manifest.manifests(store, sorted(known), licence_preset=PRESET, cache_dir=cache)
        states.append({category: build(store, category, cache) for category in sorted(known)})
        library = store.version(dataset.build_library(store, sorted(known), PRESET).version_id)
        union = {path: sha for built in states[-1].values() for path, sha in built.shards.items()}
        assert {e.path: e.sha256 for e in library.files if e.path.startswith("data/")} == union
    return states


def steps(states):
    return list(zip(TAGS[1:], states, states[1:], strict=False))


def moved(before: dict[str, Built], after: dict[str, Built]) -> set[str]:
    return {name for name in before if after[name].version != before[name].version}


def test_a_datasets_version_moves_exactly_when_its_icons_do(states):
    for tag, before, after in steps(states):
        changed = {name for name in before if after[name].icons != before[name].icons}
        assert moved(before, after) == changed, tag


def test_the_steps_that_are_known_from_the_history(states):
    # 7d67472c deletes two icons, neither of which was ever included.
    assert moved(states[2], states[3]) == set()
    newest = moved(states[3], states[4])
    assert {"Blood_Immunology", "Lab_apparatus"} <= newest
    assert newest.isdisjoint({"Animals", "Plants_Algae", "Safety_symbols", "Viruses"})


def test_a_shard_is_rewritten_exactly_when_its_icons_changed(states):
    kept = rewritten = 0
    for tag, before, after in steps(states):
        for name, old in before.items():
            new = after[name]
            for path in old.shards.keys() & new.shards.keys():
                same = [(icon, old.icons[icon]) for icon in old.members[path]] == [
                    (icon, new.icons[icon]) for icon in new.members[path]
                ]
                assert (new.shards[path] == old.shards[path]) == same, (tag, path)
                kept, rewritten = kept + same, rewritten + (not same)
    assert kept > 100 and rewritten > 20  # and not because nothing was compared
    halves = [path for path in states[-1]["Human_physiology"].shards if "_" in path]
    assert len(halves) >= 2  # a large category is more than one shard a split


def test_no_icon_changes_sides_or_is_in_two_shards(states):
    for tag, before, after in [("", {}, states[0]), *steps(states)]:
        for name, new in after.items():
            listed = [icon for icons in new.members.values() for icon in icons]
            assert sorted(listed) == sorted(new.icons), (tag, name)
            sides = {path.split("/")[1].split("-")[0] for path in new.shards}
            assert sides <= {"train", "heldout"}
            for icon in new.icons.keys() & (before[name].icons.keys() if name in before else set()):
                assert new.icons[icon][-1] == before[name].icons[icon][-1], (tag, icon)


def test_no_caption_of_any_state_has_a_finding(states):
    found = {
        (tag, name): built.findings
        for tag, state in zip(TAGS, states, strict=True)
        for name, built in state.items()
        if built.findings
    }
    assert found == {}
    assert sum(len(built.icons) for built in states[-1].values()) > 1000
