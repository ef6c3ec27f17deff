"""The conditions by themselves, on two assets or three: what moves while a run goes on, what was never made,
and what waits until all above it is settled."""

import dagster as dg
import pytest

from bioicons_pipeline.orchestration.assets.lora_weights import lora_weights
from bioicons_pipeline.orchestration.conditions import ABOVE, follows


@dg.asset
def parent() -> None:
    """Is only ever reported."""


@dg.asset(deps=[parent], automation_condition=follows())
def child() -> None:
    """Follows."""


@dg.job
def by_hand() -> None:
    """Stands for a run of `child`."""


class Pair:
    """Parent and child with a history; `tick` says whether the child is asked for."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.defs = dg.Definitions(assets=[parent, child])
        self.cursor = None

    def tick(self) -> bool:
        found = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = found.cursor
        return found.total_requested > 0

    def made(self, name: str, version: str) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(name, tags={"dagster/data_version": version})
        )


def runs(monkeypatch, name: str) -> list[bool]:
    """An asset is in progress from now on, until the one value is set to False."""
    running = [True]
    true_value = dg.AutomationCondition.in_progress()
    kind = type(true_value.operands[0]) if hasattr(true_value, "operands") else type(true_value)
    real = kind.compute_subset

    async def compute_subset(self, context):
        if running[0] and context.key == dg.AssetKey(name):
            return context.candidate_subset
        found = real(self, context)
        return await found if hasattr(found, "__await__") else found

    monkeypatch.setattr(kind, "compute_subset", compute_subset)
    return running


@pytest.fixture
def pair() -> Pair:
    found = Pair()
    found.made("parent", "1")
    found.made("child", "of 1")
    assert not found.tick()
    return found


def test_a_parent_that_moves_while_its_child_runs_is_followed_afterwards(pair, monkeypatch):
    pair.made("parent", "2")
    assert pair.tick() and not pair.tick()
    running = runs(monkeypatch, "child")
    pair.made("parent", "3")  # a second edit, while the run that the first asked for is at work
    assert not pair.tick()
    running[0] = False
    pair.made("child", "of 2")
    assert pair.tick()
    pair.made("child", "of 3")
    assert not pair.tick() and not pair.tick()


def test_what_was_never_made_is_made_when_automation_is_switched_on():
    late = Pair()
    late.made("parent", "1")
    assert late.tick() and not late.tick()


def test_what_was_never_made_waits_for_its_parents():
    early = Pair()
    assert not early.tick()
    early.made("parent", "1")
    assert early.tick()


@dg.asset(automation_condition=dg.AutomationCondition.newly_updated())
def icon_captions() -> None:
    """Far above the weights, and asked for again in the tick after it was made."""


@dg.asset(deps=[icon_captions])
def training_plan() -> None:
    """Is only ever reported."""


@dg.asset(
    deps=[training_plan], automation_condition=lora_weights.automation_conditions_by_key[lora_weights.key]
)
def weights() -> None:
    """By the condition of the LoRAs: costly, so all that moves above shall have moved before."""


class Flow(Pair):
    """Three assets in a row, all made; `tick` says whether the weights are asked for."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.rest = [dg.AssetSpec(name) for name in ABOVE if name != "icon_captions"]
        self.defs = dg.Definitions(assets=[icon_captions, training_plan, weights, *self.rest])
        self.cursor = None
        for name in ("icon_captions", "training_plan", "weights"):
            self.made(name, "1")
        while self.tick(any_asset=True):
            pass

    def tick(self, any_asset: bool = False) -> bool:
        found = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = found.cursor
        return found.total_requested > 0 if any_asset else found.get_num_requested(weights.key) > 0


def test_the_weights_follow_the_plan_when_nothing_above_them_runs():
    flow = Flow()
    flow.made("training_plan", "2")
    assert flow.tick() and not flow.tick()


def test_the_weights_wait_while_something_far_above_them_runs(monkeypatch):
    """Their own parent is at rest: it is the captions, two steps above, that run."""
    flow = Flow()
    running = runs(monkeypatch, "icon_captions")
    flow.made("training_plan", "2")
    assert not flow.tick() and not flow.tick()
    running[0] = False
    assert flow.tick() and not flow.tick()


def test_the_weights_wait_while_something_far_above_them_is_about_to_run():
    """The captions are asked for in the same tick as the plan moved, with the same version as they had."""
    flow = Flow()
    flow.made("icon_captions", "1")
    flow.made("training_plan", "2")
    assert not flow.tick()
    assert flow.tick() and not flow.tick()
