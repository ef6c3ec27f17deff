"""When an asset is made again without anybody asking: automation conditions, in words of this pipeline.

Belongs here: the conditions. Which asset has which is said at the asset; what evaluates them is in
`automation`.

They follow data versions and nothing else (https://docs.dagster.io/guides/automate/declarative-automation).
Dagster's `any_deps_updated` also counts parents that are about to be requested, and parents that were made
again with the same result: with it a training would start whenever somebody presses a button above.
"""

import dagster as dg

from bioicons_pipeline.orchestration import looks
from bioicons_pipeline.settings import get_settings

Condition = dg.AutomationCondition
WEEKLY = "0 0 * * 1"
"""The library-wide LoRA trains at most once between two of these, UTC."""
ABOVE = (
    "bioicons_upstream",
    "curation_rules",
    "licence_preset",
    "render_size",
    "caption_tables",
    "svg_snapshot",
    "icon_manifest",
    "rasterized_icons",
    "icon_captions",
    "icon_dataset",
)
"""Everything above a LoRA but what it follows, in the order of the flow."""
AUTOMATION_TAG = "bioicons/asked_by"
"""Tag of runs and backfills that automation asked for; a person's have none."""
INPUTS = dg.AssetSelection.groups(looks.INPUTS, include_sources=True)


def follows(*parents: str | list[str], new_partitions: bool = False) -> dg.AutomationCondition:
    """Made again when the data version of a parent moved (of `parents`, where they are named).

    What has never been made when automation is switched on is made then. A failed run is tried again when
    upstream is looked at next. new_partitions: a category that was just registered counts as moved. Nothing
    runs while a parent runs or is about to, or was never made.
    """
    return (
        (_wanted(*parents, new_partitions=new_partitions) | _unbuilt())
        & ~Condition.any_deps_match(Condition.missing()).ignore(INPUTS).with_label("a parent was never made")
        & ~Condition.any_deps_match(_running()).with_label("a parent runs")
        & ~Condition.in_progress()
    )


def follows_when_all_is_settled(*parents: str | list[str]) -> dg.AutomationCondition:
    """The same for what is expensive: it also waits until nothing at all above it runs or is about to.

    A version that moved in this tick counts as about to: what follows it waits a tick. The assets above are
    named one by one: nested conditions on parents of parents visit every path, thousands in each tick.
    """
    busy: dg.AutomationCondition = Condition.any_deps_match(_running())
    for name in ABOVE:
        busy = busy | Condition.asset_matches(name, _running() | Condition.data_version_changed())
    return (
        _wanted(*parents)
        & ~Condition.any_deps_match(Condition.missing()).ignore(INPUTS).with_label("a parent was never made")
        & ~busy.with_label("something above runs or is about to")
        & ~Condition.in_progress()
    )


def at_most_weekly(condition: dg.AutomationCondition) -> dg.AutomationCondition:
    """`condition`, once a calendar week; the first time at once."""
    handled = Condition.newly_requested() | Condition.newly_updated()
    this_week = Condition.cron_tick_passed(WEEKLY).since(handled) | Condition.missing()
    return condition & this_week.with_label("not yet this week")


def _running() -> dg.AutomationCondition:
    return Condition.in_progress() | Condition.will_be_requested()


def _unbuilt() -> dg.AutomationCondition:
    """Was missing when automation was switched on, nobody made it or asked for it since, and what it is made
    of is there. The snapshot itself waits for upstream to be looked at."""
    found = Condition.missing() & Condition.initial_evaluation()
    handled = Condition.newly_requested() | Condition.newly_updated()
    there = Condition.any_deps_match(~Condition.missing()).ignore(INPUTS)
    return found.since(handled).with_label("it was never made") & there


def _wanted(*parents: str | list[str], new_partitions: bool = False) -> dg.AutomationCondition:
    moved = Condition.any_deps_match(Condition.data_version_changed())
    if parents:
        moved = moved.allow(dg.AssetSelection.assets(*parents))
    again = Condition.execution_failed() & Condition.cron_tick_passed(get_settings().observe_cron)
    wanted = moved.with_label("a parent's version moved") | again.with_label("it failed, and may try again")
    if new_partitions:
        wanted = wanted | Condition.newly_missing()
    # Only a request settles what moved, and not what was made since: a parent that moved while its child ran
    # was not in what that run made.
    handled = Condition.newly_requested() | Condition.initial_evaluation()
    return wanted.since(handled.with_label("it was asked for since"))
