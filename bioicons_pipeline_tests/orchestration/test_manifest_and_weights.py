"""What the stages of manifest and weights decide by themselves: links of icons, what is not trained."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from bioicons_pipeline.orchestration.stages import manifest, sweep, weights
from bioicons_pipeline.orchestration.stages.base import (
    CAPTIONS,
    DATASET,
    MANIFEST,
    MissingInputError,
    publish,
)
from bioicons_pipeline.orchestration.stages.gates import blocking
from bioicons_pipeline.orchestration.stages.gone import WITHDRAWN
from bioicons_pipeline.store import Store
from bioicons_pipeline.training.base_models import REGISTRY, BaseModel, resolve_base
from bioicons_pipeline.training.presets import preset


def links(place) -> set[str]:
    """Addresses of all icons, without their paths in the library."""
    frame = manifest.whole_manifest(place.store)
    return {row.source_url.removesuffix(row.source_path) for row in frame.itertuples()}


def test_links_follow_the_source_though_the_icons_are_the_same(place, tmp_path):
    """Credits for the public library must not name the clone that was looked at first."""
    first, second = tmp_path / "icons", tmp_path / "elsewhere"
    assert links(place) == {f"{first}/static/icons/"}
    shutil.copytree(first, second)
    assert place.run("refresh_library", source=str(second)).success
    assert place.run("build_datasets", "Bad", "Good", only=("icon_manifest",), source=str(second)).success
    assert links(place) == {f"{second}/static/icons/"}


def test_a_note_for_the_curator_comes_and_goes_though_no_icon_changes(place, tmp_path):
    """A decision whose path is mistyped leaves the manifest as it is: that is what the note has to say."""
    typo = {"icon": "cc-0/Good/Ann/typo.svg", "action": "drop", "reason": "ugly", "reviewer": "me"}
    before = place.store.get_ref(manifest.LIBRARY).version_id
    for number, decisions in enumerate(([typo], [])):
        file = tmp_path / f"curation-{number}.yaml"
        file.write_text(json.dumps({"version": 1, "decisions": decisions}))
        assert place.run("build_datasets", "Bad", "Good", only=("icon_manifest",), curation=str(file)).success
        assert place.store.get_ref(manifest.LIBRARY).version_id == before
        assert [("typo.svg" in note) for note in manifest.notes(place.store)] == [True] * len(decisions)


def test_of_the_same_content_only_where_it_was_first_seen_stays(tmp_path):
    """Caption tables may differ and find nothing more to say, of captions that come out the same."""
    store, files = Store(tmp_path), {"captions.json": b"{}"}

    def run(commit: str, grammar: str, findings: list[str], **more: object) -> dict:
        info = {"commit": commit, "grammar_version": grammar, "findings": findings, **more}
        publish(store, CAPTIONS, files, info, partition="Sole")
        return store.get_ref(CAPTIONS, partition="Sole").info

    run("old", "1", ["unknown word: zyx"], **blocking(["a: empty"]), **{WITHDRAWN: "c0ffee"})
    assert run("new", "2", []) == {"commit": "old", "grammar_version": "2", "findings": []}
    files["captions.json"] = b"[]"
    assert run("new", "2", []) == {"commit": "new", "grammar_version": "2", "findings": []}


def test_without_a_manifest_the_asset_to_materialize_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="materialize icon_manifest first"):
        manifest.whole_manifest(Store(tmp_path))


def test_a_link_to_an_older_commit_of_the_same_source_stays(tmp_path):
    """Else each commit upstream would make every category anew."""
    store, page = Store(tmp_path), "https://github.com/o/r/blob/{}/static/icons/a.svg"
    newest = {"a.svg": page.format("b" * 40)}
    snapshot = store.commit({"snapshot.json": json.dumps({"permalinks": newest}).encode()})

    def shown(link: str, sha256: str = "1") -> str:
        before = pd.DataFrame([{"source_path": "a.svg", "sha256": "1", "source_url": link}])
        return manifest._permalinks(store, snapshot, before, {"a.svg": sha256})("a.svg")

    older = page.format("a" * 40)
    assert shown(older) == older
    assert shown(older, sha256="2") == newest["a.svg"]
    for other in ("/home/me/clone/static/icons/a.svg", older.replace("/o/", "/fork/")):
        assert shown(other) == newest["a.svg"]


@pytest.mark.parametrize(
    ("train", "heldout", "reason"), [(0, 14, "all icons are held out"), (9, 2, "n < 12")]
)
def test_where_there_is_nothing_to_learn_from_a_record_says_so(tmp_path, train, heldout, reason):
    store = Store(tmp_path / "store")
    facts = {"icons": train + heldout, "splits": {"train": train, "heldout": heldout}}
    dataset = store.commit({"dataset.json": json.dumps(facts).encode()})
    store.set_ref(DATASET, dataset.id, partition="Sole", info={"icons": facts["icons"]})
    base, folders = resolve_base("flux-nano", tmp_path), {"work_dir": tmp_path, "cache_dir": tmp_path}
    for changed in (True, False):
        planned = weights.plan(store, "Sole", base, preset("cpu-nano"), base_argument="flux-nano", **folders)
        assert planned.request is None and planned.done.changed is changed
        assert planned.done.facts["status"] == "not trained" and planned.done.facts["reason"] == reason


def test_a_gone_category_without_a_lora_of_this_base_gets_its_record(tmp_path):
    """After a change of the base there is none: automation asked for it, and failed, every week."""
    store = Store(tmp_path / "store")
    listed = store.commit({"manifest.parquet": b""})
    store.set_ref(MANIFEST, listed.id, partition="Sole", info={WITHDRAWN: "c0ffee"})
    base, folders = resolve_base("flux-nano", tmp_path), {"work_dir": tmp_path, "cache_dir": tmp_path}
    for changed in (True, False):
        planned = weights.plan(store, "Sole", base, preset("cpu-nano"), base_argument="flux-nano", **folders)
        assert planned.request is None and planned.done.facts["reason"] == "withdrawn upstream"
        assert planned.done.changed is changed


def test_a_training_is_asked_for_on_the_commit_of_the_base_that_was_looked_at(tmp_path):
    """One to the hub before a rented host starts would end in an adapter of another base, refused."""
    store = Store(tmp_path / "store")
    facts = {
        "icons": 14,
        "splits": {"train": 12, "heldout": 2},
        **dict.fromkeys(("commit", "source_url", "licence_preset", "licence_mix")),
    }
    dataset = store.commit({"dataset.json": json.dumps(facts).encode()})
    store.set_ref(DATASET, dataset.id, partition="Sole", info={"icons": 14})
    listed = store.commit({"manifest.parquet": manifest.to_parquet(pd.DataFrame({"icon_id": ["1"]}))})
    store.set_ref(manifest.LIBRARY, listed.id, info={"categories": ["Sole"]})
    row = REGISTRY["flux1-dev"]
    base = BaseModel(row.name, str(row.hub_id), row.licence, "hub:x@sha256:1", revision="1" * 40)
    asked = {"base_argument": row.name, "work_dir": tmp_path, "cache_dir": tmp_path}
    planned = weights.plan(store, "Sole", base, preset("tiny"), **asked)
    swept = sweep.plan(store, "Sole", base, preset("tiny"), sweep.Axes(), **asked)
    for request in (planned.request, *swept.requests.values()):
        assert request.base_revision == "1" * 40
    again = weights.plan(store, "Sole", replace(base, revision="2" * 40), preset("tiny"), **asked)
    assert again.key == planned.key
