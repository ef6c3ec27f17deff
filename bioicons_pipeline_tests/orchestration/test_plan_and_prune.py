"""`bioicons plan` and `bioicons prune` as a user starts them."""

import json
import os
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bioicons_pipeline import cli_prune
from bioicons_pipeline.cli import app
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.curation import Curation
from bioicons_pipeline.library.licences import policy_for
from bioicons_pipeline.orchestration.durations import Measured
from bioicons_pipeline.orchestration.stages.made_from import Icon, present_icons
from bioicons_pipeline.orchestration.stages.outlook import Changes, changes_by_category
from bioicons_pipeline.orchestration.stages.published import Publication, remember
from bioicons_pipeline.settings import Settings
from bioicons_pipeline.store import Store


def invoke(*arguments: str):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_plan_on_a_machine_that_never_ran_anything(settings):
    done = invoke("plan", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    rows = {row["category"]: row for row in said["categories"]}
    assert rows["Animals"]["rebuild"] and rows["Animals"]["reason"] == "never built"
    assert rows["library"]["train"] and rows["library"]["train_seconds"] is None
    assert said["seconds"] is None and said["at_least_seconds"] == 0
    table = invoke("plan")
    assert table.exit_code == 0 and "not yet measured here" in table.stdout
    assert not (settings.root / "store" / "refs").exists()  # it looked, and made nothing


def test_plan_says_what_it_cannot_read(settings, tmp_path):
    with pytest.raises(BioiconsError, match="There is nothing at"):
        invoke("plan", "--source", str(tmp_path / "nowhere"))


def test_times_come_from_what_was_measured_and_from_nothing_else():
    rates = {"rasterized_icons": 0.5, "icon_captions": 0.1, "icon_dataset": 0.4}
    times = Measured(60.0, rates, {"Animals": 100.0, "library": 900.0, "": 100.0})
    assert times.rebuild(20) == pytest.approx(20.0)
    assert times.train("Animals") == times.train("Plants") == 100.0 and times.train("library") == 900.0
    assert Measured(60.0, {"rasterized_icons": 0.5}, {}).rebuild(20) is None
    assert Measured(None, {}, {"Animals": 1.0, "": 1.0}).train("library") is None


def icons(ids: dict[str, str], preset: str = "attribution", used: set[str] | None = None) -> dict[str, Icon]:
    """path → icon, of a listing, by a preset; used: paths that the manifest includes, None: all."""
    found = present_icons(ids, policy_for(preset), Curation(), {})
    return {path: replace(icon, used=used is None or path in used) for path, icon in found.items()}


def test_what_upstream_changed_by_category():
    before = {
        "cc-0/A/Ann/1.svg": "a", "cc-0/A/Ann/2.svg": "b", "cc-0/A/Ann/3.svg": "c", "cc-0/A/Ann/4.svg": "d",
        "cc-0/B/Ann/1.svg": "e", "None/C/Ann/1.svg": "f", "cc-0/D/Ann/1.svg": "g", "authors.json": "h",
    }  # fmt: skip
    now = {
        "cc-0/A/Ann/1.svg": "a", "cc-0/A/Ann/2.svg": "redrawn", "cc-0/A/Ann/renamed.svg": "c",
        "None/A/Ann/4.svg": "d", "cc-0/A/Ann/5.svg": "new", "cc-0/B/Ann/1.svg": "e", "authors.json": "other",
    }  # fmt: skip
    found = changes_by_category(icons(before), icons(now))
    assert found["A"] == Changes(
        added=1, removed=1, renamed=1, redrawn=1, withdrawn=1, icons=4, listed=5
    )  # fmt: skip
    assert found["A"].moved == 4 and not found["B"].any
    assert found["C"] == Changes() and found["D"] == Changes(removed=1, withdrawn=1)
    left_out = changes_by_category(icons(before, used={"cc-0/A/Ann/1.svg"}), icons(now))
    assert left_out["D"] == Changes(removed=1) and left_out["A"].withdrawn == 0


def test_an_icon_that_moves_is_withdrawn_only_if_its_licence_changes():
    moves = {
        "cc-0/B/Ann/1.svg": 0,
        "cc-0/A/Bea/2.svg": 0,
        "cc-by-4.0/A/Ann/1.svg": 1,
        "cc-by-sa-4.0/A/Ann/1.svg": 1,
    }
    for path, withdrawn in moves.items():
        found = changes_by_category(icons({"cc-0/A/Ann/1.svg": "a"}), icons({path: "a"}))
        assert found["A"].withdrawn == withdrawn, path


def test_what_another_preset_leaves_out_is_withdrawn_and_what_it_lets_in_is_added():
    listed = {"cc-0/A/Ann/1.svg": "a", "cc-by-4.0/A/Ann/2.svg": "b", "cc-by-4.0/B/Ann/3.svg": "c"}
    wide, narrow = icons(listed), icons(listed, "public-domain")
    assert changes_by_category(wide, narrow) == {
        "A": Changes(removed=1, withdrawn=1, icons=1, listed=2),
        "B": Changes(removed=1, withdrawn=1, icons=0, listed=1),
    }
    assert changes_by_category(narrow, wide)["A"] == Changes(added=1, icons=2, listed=2)


def test_a_withdrawal_by_a_curator_holds_for_every_path_of_the_drawing():
    listed = {"cc-0/A/Ann/1.svg": "a", "cc-0/B/Ann/copy.svg": "a", "cc-0/C/Ann/other.svg": "b"}
    decision = {"icon": "cc-0/A/Ann/1.svg", "action": "withdraw", "reason": "not hers", "reviewer": "test"}
    curation = Curation.model_validate({"decisions": [decision]})
    now = present_icons(listed, policy_for("attribution"), curation, {})
    found = changes_by_category(icons(listed), now)
    once = Changes(edited=1, withdrawn=1, icons=1, listed=1)
    assert found == {"A": once, "B": once, "C": Changes(icons=1, listed=1)}
    assert changes_by_category({path: replace(icon, used=False) for path, icon in now.items()}, now) == {
        category: Changes(icons=1, listed=1) for category in "ABC"
    }


def test_prune_spares_what_the_longest_training_reads(settings, monkeypatch):
    assert invoke("prune", "--keep-days", "1").exit_code == 2
    assert invoke("prune", "--keep-days", "3").exit_code == 0
    monkeypatch.setattr(cli_prune, "get_settings", lambda: Settings(training_hours=96))
    with pytest.raises(BioiconsError, match=r"96 hours here .* more --keep-days"):
        invoke("prune", "--keep-days", "3")


def test_prune_frees_what_was_replaced_and_keeps_what_was_published(settings):
    store = Store(settings.resolved_store_root)
    adapters = [store.commit({"w": b"%d" % number}).id for number in range(3)]
    datasets = [store.commit({"d": b"d%d" % number}).id for number in range(3)]
    for adapter, dataset in zip(adapters, datasets, strict=True):
        info = {"status": "trained", "dataset_version": dataset}
        store.set_ref("lora_weights", adapter, partition="Animals", base="flux-nano", info=info)
        if dataset == datasets[0]:
            remember(store, Publication(adapter, "flux-nano", dataset), "lab/icons")
    then = time.time() - 20 * 24 * 3600
    for file in store.root.rglob("*"):
        os.utime(file, (then, then))
    told = invoke("prune", "--dry-run")
    assert told.stdout.startswith(
        "2 versions and 2 files (3 B) would be deleted; 4 versions and 4 files stay."
    )
    found = json.loads(invoke("prune", "--dry-run", "--json").stdout)
    assert found["dry_run"] and set(found["versions"]) == {adapters[1], datasets[1]}
    assert (found["blobs"], found["bytes"], found["versions_left"], found["blobs_left"]) == (2, 3, 4, 4)
    assert invoke("prune", "--keep-days", "30").stdout.startswith("0 versions and 0 files")
    assert invoke("prune").stdout.startswith("2 versions and 2 files (3 B) deleted")
    for kept in (0, 2):
        assert store.verify(adapters[kept]) == store.verify(datasets[kept]) == []
