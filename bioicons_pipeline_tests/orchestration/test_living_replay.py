"""The real history as a remote that moves: exactly which partitions run, in each of its five states.

Fake: the training commits a planted adapter (see `living`). The slice of six categories is in CI; the whole
sample is slow.
"""

import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from bioicons_pipeline.library.records import path_facts
from bioicons_pipeline.orchestration.stages.base import DATASET
from bioicons_pipeline.orchestration.stages.gone import gone_categories
from bioicons_pipeline.orchestration.stages.manifest import whole_manifest
from bioicons_pipeline.orchestration.stages.training_plan import _icons
from bioicons_pipeline_tests.library.repositories import commit_tree, git
from bioicons_pipeline_tests.orchestration.living import Living, trainings

pytestmark = [pytest.mark.bundle, pytest.mark.git]

TAGS = ("4c77cd4e", "3289853a", "e1fa0459", "7d67472c", "f3f18b86")
SLICE = {"Cell_types", "Machine_Learning", "Nanotechnology", "None", "Parasites", "Viruses"}


class Remote:
    """A bare repository whose branch moves from one upstream state to the next, with some categories only."""

    def __init__(self, bundle: Path, folder: Path, categories: set[str] | None) -> None:
        subprocess.run(["git", "clone", "--quiet", "--bare", str(bundle), str(folder)], check=True)
        self.folder, self.categories = folder, categories
        self.listed: dict[str, str] = {}
        git(folder, "symbolic-ref", "HEAD", "refs/heads/moving")

    def move(self, tag: str) -> set[str]:
        """Commit that state; returns the categories of which an SVG was added, removed or changed."""
        before, self.listed = self.listed, {}
        records = git(self.folder, "ls-tree", "-r", "-z", "--full-tree", f"upstream-{tag}", "static/icons")
        kept = []
        for record in records.split("\0"):
            facts, _, path = record.partition("\t")
            category = path.split("/")[3] if path.count("/") > 3 else None
            if not record or (self.categories and category is not None and category not in self.categories):
                continue
            kept.append(record)
            if path.lower().endswith(".svg"):
                self.listed[path] = facts.split(" ")[2]
        index = {"GIT_INDEX_FILE": str(self.folder / "index-of-tests")}
        Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)
        command = ["git", "--git-dir", str(self.folder)]
        subprocess.run(
            [*command, "update-index", "-z", "--add", "--index-info"], check=True, env=index,
            input="\0".join(kept).encode() + b"\0",
        )  # fmt: skip
        tree = subprocess.run([*command, "write-tree"], check=True, env=index, capture_output=True, text=True)
        commit_tree(self.folder, tree.stdout.strip(), tag, "moving")
        moved = {path for path in {*before, *self.listed} if before.get(path) != self.listed.get(path)}
        return {path_facts(path.removeprefix("static/icons/")).category for path in moved}


def replay(bundle: Path, root: Path, categories: set[str] | None) -> tuple[Living, list[dict]]:
    """Every state in turn; by state what moved upstream, what ran, what was trained, what was due."""
    remote = Remote(bundle, root / "remote.git", categories)
    living = Living(root / "data", remote.folder)
    known: dict[str, dict] = {}
    manifests: dict[str, pd.DataFrame] = {}
    states = []
    for tag in TAGS:
        moved = remote.move(tag)
        ran = living.week()
        frame = whole_manifest(living.store)
        rows = {str(name): rows.reset_index(drop=True) for name, rows in frame.groupby("category")}
        manifest_moved = {
            name for name, mine in rows.items() if name not in manifests or not mine.equals(manifests[name])
        }
        manifests |= rows
        drawings = set(frame["sha256"].astype(str))
        due, small = set(), set()
        for name in rows:
            icons = dict(_icons(living.store, living.store.get_ref(DATASET, partition=name).version_id))
            if len(icons) < 12:
                small.add(name)
            elif far_enough(known.get(name), icons, drawings):
                due.add(name)
                known[name] = icons
        states.append(
            {"tag": tag, "moved": moved, "manifest": manifest_moved, "ran": ran, "due": due, "small": small,
             "trained": sorted(name for name, _ in trainings)}
        )  # fmt: skip
    assert living.week() == {}
    return living, states


def far_enough(trained: dict | None, icons: dict, drawings: set[str]) -> bool:
    """The rule, in its plainest form; drawings: all that upstream has now."""
    if trained is None:
        return True
    if any(trained[icon].sha256 not in drawings for icon in trained.keys() - icons.keys()):
        return True
    gone = Counter(trained[icon].sha256 for icon in trained.keys() - icons.keys())
    new = Counter(icons[icon].sha256 for icon in icons.keys() - trained.keys())
    changed = sum(trained[icon] != icons[icon] for icon in trained.keys() & icons.keys())
    differ = gone.total() + new.total() - (gone & new).total() + changed
    return differ > 0 and (differ >= 10 or differ >= 0.05 * len(trained))


def check(living: Living, states: list[dict]) -> None:
    """What ran is what had to: no more, no less, nothing twice."""
    seen: set[str] = set()
    gone = set(gone_categories(living.store))
    for state in states:
        ran, tag = state["ran"], state["tag"]
        assert ran.get("rasterized_icons", set()) == state["manifest"], tag
        assert state["moved"] - gone <= state["manifest"], tag
        small = state["small"] - seen  # gets its record "not trained", once
        assert ran.get("lora_weights", set()) == state["due"] | small, tag
        assert sorted(set(state["trained"]) - {"library"}) == sorted(state["due"]), tag
        assert len(state["trained"]) == len(set(state["trained"])), tag
        seen |= state["manifest"]


@pytest.mark.timeout(900)
def test_a_slice_of_the_history(sample_bundle, tmp_path):
    living, states = replay(sample_bundle, tmp_path, SLICE)
    check(living, states)
    assert [(state["tag"], state["ran"]["rasterized_icons"], state["trained"]) for state in states] == [
        ("4c77cd4e", {"Machine_Learning", "Parasites", "Viruses"}, ["Parasites", "library"]),
        ("3289853a", {"Cell_types", "Viruses"}, ["Cell_types", "library"]),
        ("e1fa0459", {"Cell_types", "Machine_Learning", "None", "Parasites"}, ["Cell_types", "library"]),
        ("7d67472c", {"Parasites"}, []),  # the unlicensed icons go; nothing was ever trained on them
        ("f3f18b86", {"Cell_types", "Nanotechnology", "Parasites"}, ["Cell_types", "Parasites"]),
    ]
    assert set(gone_categories(living.store)) == {"None"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_history(sample_bundle, tmp_path):
    living, states = replay(sample_bundle, tmp_path, None)
    check(living, states)
    assert set(gone_categories(living.store)) == {"None"}
