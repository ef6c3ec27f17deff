"""The conditions by themselves, on two assets: what moves while a run goes on, and what was never made."""

import dagster as dg
import pytest

from bioicons_pipeline.orchestration.conditions import follows


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
    running = [True]
    true_value = dg.AutomationCondition.in_progress()
    kind = type(true_value.operands[0]) if hasattr(true_value, "operands") else type(true_value)
    real = kind.compute_subset

    async def compute_subset(self, context):
        if running[0] and context.key == dg.AssetKey("child"):
            return context.candidate_subset
        found = real(self, context)
        return await found if hasattr(found, "__await__") else found

    monkeypatch.setattr(kind, "compute_subset", compute_subset)
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
