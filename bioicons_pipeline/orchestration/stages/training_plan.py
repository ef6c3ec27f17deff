"""training_plan: on which dataset the LoRA of a category should be trained.

Version tree: `plan.json` (status, dataset version, base, the weights that the training replaces). The version
moves only when the icons have moved far enough from those that the current LoRA was trained on
(`library.drift`), so whoever follows it trains when that is worth its cost. Nothing here trains, and nothing
here hinders a person who trains by hand.

While a training that was asked for is still to be done, or has failed, what is compared with is the dataset
it was asked for: a single further icon does not ask again. Weights say which plan there was when their
training began: one that moved during the training is still to be done after it.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bioicons_pipeline.library.drift import Drift, Thresholds, TrainingIcon, drift_between
from bioicons_pipeline.orchestration.stages.base import (
    DATASET,
    WEIGHTS,
    Outcome,
    input_key,
    publish,
    require_ref,
    to_json,
)
from bioicons_pipeline.orchestration.stages.gone import gone_since
from bioicons_pipeline.orchestration.stages.manifest import whole_manifest
from bioicons_pipeline.orchestration.stages.weights import MINIMUM_ICONS, ref_name
from bioicons_pipeline.store import Ref, Store, StoreError
from bioicons_pipeline.training.base_models import REGISTRY, resolve_base

PLAN = "training_plan"
ASKED_OVER = "asked_over"
"""Key in the plan: the version of the weights ("" for none) at the time a training was asked for."""
PLAN_VERSION = "plan_version"
"""Key in the facts of weights: the version of the plan when their training began; "" for none."""
_COLUMNS = ["icon_id", "sha256", "spdx", "caption", "width", "name"]


@dataclass(frozen=True)
class PlannedBase:
    """A base as plans know it: how refs name it, and what tells one content from another."""

    stored_as: str
    identity: str


@dataclass(frozen=True)
class Decision:
    """`ask`: a (new) training is wanted; why, in words; what changed; icons of the dataset as it is now."""

    ask: bool
    reason: str
    drift: Drift | None = None
    icons: int = 0


def planned_base(name: str, bases_dir: Path) -> PlannedBase:
    """The base called `name`. Of one on the hub the name is all: its repository's commits do not retrain.

    Raises:
        TrainingError: there is no such base.
    """
    row = REGISTRY.get(name)
    if row is not None and row.hub_id:
        return PlannedBase(row.name, f"hub:{row.hub_id}")
    base = resolve_base(name, bases_dir)
    return PlannedBase(ref_name(base), base.fingerprint)


def consider(store: Store, category: str | None, base: PlannedBase, thresholds: Thresholds) -> Decision:
    """Whether the LoRA of `category` (None: the library) should be trained (again) on the present dataset.

    Raises:
        MissingInputError: there is no dataset yet.
    """
    dataset = require_ref(store, DATASET, category)
    icons = int((dataset.info or {}).get("icons", 0))
    plan = store.get_ref(PLAN, partition=category, base=base.stored_as)
    weights = store.get_ref(WEIGHTS, partition=category, base=base.stored_as)
    trained = (weights.info or {}) if weights else {}
    if commit := gone_since(store, category):
        return Decision(False, f"withdrawn upstream at {commit[:12]}", icons=icons)
    if plan is not None and plan.info["base"] != base.identity:
        return Decision(True, "the base model has changed", icons=icons)
    pending = _is_pending(plan, weights)
    if icons < MINIMUM_ICONS:
        asked = pending and plan is not None and plan.info["dataset_version"] is None
        ask = not asked and trained.get("status") != "not trained"
        return Decision(ask, f"too few icons: {icons} < {MINIMUM_ICONS}", icons=icons)
    known = plan.info["dataset_version"] if pending and plan else trained.get("dataset_version")
    if known is None:
        return Decision(True, "it has enough icons now" if weights else "never trained", icons=icons)
    if known == dataset.version_id or (pending and trained.get("dataset_version") == dataset.version_id):
        return Decision(False, "no icon changed", Drift(of=icons), icons)
    try:
        drift = drift_between(_icons(store, known), _icons(store, dataset.version_id), whole_manifest(store))
    except StoreError:
        return Decision(True, "the dataset it was trained on cannot be read any more", icons=icons)
    if drift.withdrawn:
        name, why = next(iter(drift.withdrawn.items()))
        more = f" and {len(drift.withdrawn) - 1} more" if len(drift.withdrawn) > 1 else ""
        return Decision(True, f"withdrawn: {name} ({why}){more}", drift, icons)
    return Decision(thresholds.reached(drift.icons, drift.of), str(drift), drift, icons)


def plan(store: Store, category: str | None, base: PlannedBase, thresholds: Thresholds) -> Outcome:
    """Consider, and move the plan if a training is wanted; facts: status, reason, changed icons."""
    decision = consider(store, category, base, thresholds)
    place = {"partition": category, "base": base.stored_as}
    before, weights = store.get_ref(PLAN, **place), store.get_ref(WEIGHTS, **place)
    shown = {
        "asked": decision.ask,
        "reason": decision.reason,
        "icons": decision.icons,
        "changed icons": decision.drift.icons if decision.drift else None,
        "trained on": decision.drift.of if decision.drift else None,
    }
    if not decision.ask and before is not None and not _is_settled(store, category, before, weights):
        return Outcome(before.version_id, False, {**before.info, **shown})
    few = decision.icons < MINIMUM_ICONS
    dataset = None if few else require_ref(store, DATASET, category).version_id
    if not decision.ask:  # trained before there was a plan, or upstream went back: it is as it should be
        dataset = ((weights.info or {}) if weights else {}).get("dataset_version")
    content = {
        "status": "too few icons" if few else "train",
        "dataset_version": dataset,
        "base": base.identity,
        # Part of the content: what was asked for before may be asked for again, over other weights.
        ASKED_OVER: (weights.version_id if weights else "") if decision.ask else None,
    }
    info = {**content, "reason": decision.reason, "input_key": input_key(**content)}
    outcome = publish(store, PLAN, {"plan.json": to_json(content)}, info, **place)
    return Outcome(outcome.version_id, outcome.changed, {**info, **shown})


def standing(store: Store, category: str | None, stored_as: str) -> Outcome | None:
    """The current LoRA, where no training that was asked for is still to be done; else None.

    What automation starts asks here first: a run that it asked for too much trains nothing. A training that a
    person starts does not ask.
    """
    place = {"partition": category, "base": stored_as}
    weights = store.get_ref(WEIGHTS, **place)
    if weights is None or store.get_ref(PLAN, **place) is None or is_pending(store, category, stored_as):
        return None
    return Outcome(weights.version_id, False, weights.info or {})


def is_pending(store: Store, category: str | None, stored_as: str) -> bool:
    """Whether a training was asked for, and no weights came since."""
    place = {"partition": category, "base": stored_as}
    return _is_pending(store.get_ref(PLAN, **place), store.get_ref(WEIGHTS, **place))


def version_of_plan(store: Store, category: str | None, stored_as: str) -> str:
    """The plan's version now, "" without a plan: what a training that begins now goes by."""
    ref = store.get_ref(PLAN, partition=category, base=stored_as)
    return ref.version_id if ref else ""


def _is_pending(plan: Ref | None, weights: Ref | None) -> bool:
    """No weights came since the training was asked for, or they came of a training that began before."""
    asked_over = plan.info.get(ASKED_OVER) if plan else None
    if plan is None or asked_over is None:
        return False
    if weights is None or asked_over == weights.version_id:
        return True
    # weights of before there was this key were trained by the plan that there was
    return (weights.info or {}).get(PLAN_VERSION, plan.version_id) != plan.version_id


def _is_settled(store: Store, category: str | None, plan: Ref, weights: Ref | None) -> bool:
    """A training is asked for that nobody needs any more: the icons are again those of the weights."""
    dataset = store.get_ref(DATASET, partition=category)
    trained = (weights.info or {}).get("dataset_version") if weights else None
    return _is_pending(plan, weights) and dataset is not None and trained == dataset.version_id


def _icons(store: Store, dataset_version: str) -> Mapping[str, TrainingIcon]:
    """icon_id → icon, of every row of a dataset, held-out ones too."""
    version = store.version(dataset_version)
    found: dict[str, TrainingIcon] = {}
    for entry in version.files:
        if entry.path.startswith("data/"):
            rows: Any = pd.read_parquet(io.BytesIO(store.read(version, entry.path)), columns=_COLUMNS)
            for row in rows.itertuples():
                found[str(row.icon_id)] = TrainingIcon(
                    str(row.sha256), str(row.spdx), str(row.caption), int(row.width), str(row.name)
                )
    return found
