"""The plan moves exactly when a training is worth it, whatever happened to the trainings before."""

import io
from collections.abc import Sequence

import pandas as pd
import pytest

from bioicons_pipeline.library.drift import Thresholds
from bioicons_pipeline.library.records import ExclusionReason
from bioicons_pipeline.orchestration.stages.base import DATASET, MANIFEST, WEIGHTS
from bioicons_pipeline.orchestration.stages.gone import WITHDRAWN
from bioicons_pipeline.orchestration.stages.manifest import LIBRARY, to_parquet
from bioicons_pipeline.orchestration.stages.training_plan import (
    PLAN,
    PLAN_VERSION,
    PlannedBase,
    is_pending,
    plan,
    standing,
    version_of_plan,
)
from bioicons_pipeline.store import Store

BASE = PlannedBase("flux-nano", "sha256:1")


class Category:
    """Datasets, weights and plans of one category, planted."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.place = {"partition": "Animals", "base": BASE.stored_as}

    def dataset(self, *names: str | int, dropped: Sequence[int] = ()) -> str:
        """A dataset of the icons of these names, and the library's manifest of them and of `dropped`, which a
        curator left out."""
        frame, out = self._rows(names), self._rows(dropped)
        buffer = io.BytesIO()
        frame.to_parquet(buffer)
        version = self.store.commit({"data/train-animals.parquet": buffer.getvalue()})
        self.store.set_ref(DATASET, version.id, partition="Animals", info={"icons": len(names)})
        reason = ExclusionReason.DROPPED_BY_CURATOR.value
        rows = [frame.assign(included=True, exclusion_reason=None)]
        rows += [out.assign(included=False, exclusion_reason=reason)] if dropped else []
        listed = self.store.commit({"manifest.parquet": to_parquet(pd.concat(rows))})
        self.store.set_ref(LIBRARY, listed.id, info={"categories": ["Animals"]})
        return version.id

    @staticmethod
    def _rows(names: Sequence[str | int]) -> pd.DataFrame:
        texts = [str(name) for name in names]
        return pd.DataFrame(
            {
                "icon_id": texts,
                "sha256": texts,
                "spdx": "CC0-1.0",
                "caption": texts,
                "width": 64,
                "name": texts,
            }
        )

    def train(self, dataset: str, note: str = "", asked_by: str | None = None) -> None:
        """Weights of that dataset, whoever asked for them; `asked_by` the plan of when it began."""
        version = self.store.commit({"weights": f"{dataset}{note}".encode()})
        info = {"status": "trained", "dataset_version": dataset}
        info |= {} if asked_by is None else {PLAN_VERSION: asked_by}
        self.store.set_ref(WEIGHTS, version.id, **self.place, info=info)

    def plan(self, base: PlannedBase = BASE) -> tuple[bool, str]:
        """Whether the plan moved, and why or why not."""
        outcome = plan(self.store, "Animals", base, Thresholds())
        return outcome.changed, str(outcome.facts["reason"])

    def wanted(self) -> bool:
        """Whether a run that automation asks for would train."""
        return standing(self.store, "Animals", BASE.stored_as) is None


@pytest.fixture
def animals(tmp_path) -> Category:
    return Category(Store(tmp_path / "store"))


def test_never_trained_then_small_drifts_that_add_up(animals):
    first = animals.dataset(*range(40))
    assert animals.plan() == (True, "never trained") and animals.wanted()
    animals.train(first)
    assert animals.plan() == (False, "no icon changed") and not animals.wanted()
    animals.dataset(*range(41))
    assert animals.plan() == (False, "1 new") and not animals.wanted()
    second = animals.dataset(*range(1, 41), dropped=[0])
    assert animals.plan() == (True, "1 new, 1 gone") and animals.wanted()
    animals.train(second)
    assert animals.plan() == (False, "no icon changed")


def test_a_training_that_is_still_to_be_done_is_not_asked_for_again_by_one_more_icon(animals):
    animals.train(animals.dataset(*range(40)))
    animals.dataset(*range(45))
    assert animals.plan() == (True, "5 new")
    for count in (45, 46):  # it runs, or has failed: nothing says so but that no weights came
        animals.dataset(*range(count))
        assert not animals.plan()[0] and animals.wanted()
    animals.dataset(*range(50))
    assert animals.plan() == (True, "5 new")


def test_training_by_hand_counts_and_the_same_dataset_can_be_asked_for_again(animals):
    first = animals.dataset(*range(40))
    animals.plan()
    animals.train(first)
    second = animals.dataset(*range(60))
    animals.train(second)  # by hand, before the plan was looked at
    assert animals.plan() == (False, "no icon changed") and not animals.wanted()
    animals.dataset(*range(40))  # upstream goes back
    assert animals.plan() == (True, "withdrawn: 40 (deleted upstream) and 19 more") and animals.wanted()


def test_trained_by_hand_before_there_was_a_plan(animals):
    animals.train(animals.dataset(*range(40)))
    assert animals.plan() == (True, "no icon changed")  # the first plan is new, and asks for nothing
    assert not animals.wanted()


def test_one_icon_that_upstream_deletes_is_enough_and_one_that_a_curator_drops_is_not(animals):
    animals.train(animals.dataset(*range(40)))
    animals.plan()
    animals.dataset(*range(39), dropped=[39])
    assert animals.plan() == (False, "1 gone") and not animals.wanted()
    animals.dataset(*range(39))
    assert animals.plan() == (True, "withdrawn: 39 (deleted upstream)") and animals.wanted()


def test_another_base_or_other_content_of_it(animals):
    animals.train(animals.dataset(*range(40)))
    animals.plan()
    moved, reason = animals.plan(PlannedBase("flux-nano", "sha256:2"))
    assert (moved, reason) == (True, "the base model has changed") and animals.wanted()
    assert animals.plan(PlannedBase("flux1-dev", "hub:x")) == (True, "never trained")


def test_too_few_icons_and_then_enough(animals):
    animals.dataset(*range(11))
    assert animals.plan() == (True, "too few icons: 11 < 12")
    record = animals.store.commit({"not_trained.json": b"{}"})
    animals.store.set_ref(WEIGHTS, record.id, **animals.place, info={"status": "not trained"})
    animals.dataset(*range(10))
    assert not animals.plan()[0] and not animals.wanted()
    animals.dataset(*range(12))
    assert animals.plan() == (True, "it has enough icons now") and animals.wanted()


def test_a_dataset_that_cannot_be_read_any_more(animals):
    animals.train(animals.dataset(*range(40)))
    animals.plan()
    old = animals.store.get_ref(WEIGHTS, **animals.place).info["dataset_version"]
    animals.dataset(*range(41))
    (animals.store.root / "versions" / f"{old}.json").unlink()
    assert animals.plan() == (True, "the dataset it was trained on cannot be read any more")


def test_a_category_that_is_gone_is_never_asked_for(animals):
    version = animals.dataset(*range(40))
    animals.store.set_ref(MANIFEST, version, partition="Animals", info={WITHDRAWN: "c0ffee" * 6})
    assert animals.plan()[1] == "withdrawn upstream at c0ffeec0ffee"
    assert animals.store.get_ref(PLAN, **animals.place).info["asked_over"] is None


def test_what_is_asked_for_during_a_training_is_still_to_be_done_after_it(animals):
    animals.train(animals.dataset(*range(40)))
    second = animals.dataset(*range(45))
    assert animals.plan() == (True, "5 new")
    began_by = version_of_plan(animals.store, "Animals", BASE.stored_as)
    third = animals.dataset(*range(5, 45))  # five are withdrawn while it trains
    assert animals.plan() == (True, "withdrawn: 0 (deleted upstream) and 4 more")
    animals.train(second, asked_by=began_by)
    assert animals.wanted()
    animals.train(third, asked_by=version_of_plan(animals.store, "Animals", BASE.stored_as))
    assert not animals.wanted() and animals.plan() == (False, "no icon changed")


def test_what_upstream_takes_back_before_it_was_trained_is_no_longer_asked_for(animals):
    animals.train(animals.dataset(*range(40)))
    animals.plan()
    animals.dataset(*range(60))
    assert animals.plan() == (True, "20 new") and animals.wanted()  # and its training fails
    animals.dataset(*range(40))
    assert animals.plan() == (True, "no icon changed")  # the plan moves: nothing is to be done
    assert not animals.wanted() and not is_pending(animals.store, "Animals", BASE.stored_as)
    assert not animals.plan()[0]
