"""The whole way in one call: which jobs run, in which order, with which config.

`bioicons run` and `bioicons demo` are thin over `run_pipeline`. Checks that need nothing heavy come
first, so that a wrong base or category stops before anything is written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.curation import load_curation
from bioicons_pipeline.orchestration import launch
from bioicons_pipeline.orchestration.partitions import CATEGORIES
from bioicons_pipeline.orchestration.stages import base as names
from bioicons_pipeline.orchestration.stages import manifest, snapshot
from bioicons_pipeline.orchestration.stages.manifest import check_category
from bioicons_pipeline.settings import Settings
from bioicons_pipeline.store import Store

STAGES = (
    names.SNAPSHOT,
    names.MANIFEST,
    names.IMAGES,
    names.CAPTIONS,
    names.DATASET,
    names.WEIGHTS,
    names.GRID,
    names.EVALUATION,
)


@dataclass(frozen=True)
class Options:
    """What to run. `category` None is the whole library; `until` is the last stage."""

    source: str
    ref: str | None
    category: str | None
    base: str
    until: str = names.GRID
    training: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    render_size: int | None = None


@dataclass(frozen=True)
class Summary:
    """What came out: folders and files that a person can open, and facts of the stages."""

    category: str | None
    outputs: Mapping[str, Path]
    facts: Mapping[str, Mapping[str, Any]]


def _upstream(options: Options, settings: Settings) -> dict:
    values = {
        "source": options.source,
        "ref": options.ref or "",
        "licence_preset": settings.licence_preset,
        "curation": str(settings.curation) if settings.curation else "",
        "render_size": options.render_size or settings.render_size,
        "workers": settings.workers or 0,
    }
    return {"upstream": {"config": values}}


def _training_config(options: Options) -> dict:
    chosen = dict(options.training)
    named = ("preset", "steps", "rank", "learning_rate", "seed", "force")
    config = {key: chosen.pop(key) for key in named if key in chosen}
    if chosen:
        config["overrides"] = json.dumps(chosen)
    return {key: value for key, value in config.items() if value is not None}


def check_options(options: Options, settings: Settings) -> None:
    """Refuse what cannot work before anything runs.

    Raises:
        BioiconsError: unknown stage, licence preset or base; a training setting out of range; a source with
            a secret in it.
    """
    from bioicons_pipeline.library.licences import policy_for
    from bioicons_pipeline.library.source import refuse_credentials
    from bioicons_pipeline.orchestration.stages import weights
    from bioicons_pipeline.training.base_models import check_base

    refuse_credentials(options.source)
    if options.until not in STAGES:
        raise BioiconsError(f"There is no stage {options.until!r}: choose one of {', '.join(STAGES)}.")
    policy_for(settings.licence_preset)
    if STAGES.index(options.until) >= STAGES.index(names.WEIGHTS):
        check_base(options.base)
        weights.check_training(dict(options.training))


def _made_by_a_curator(
    settings: Settings, options: Options, store: Store, instance: dg.DagsterInstance
) -> bool:
    """Whether the manifest has to come first: for a category that curation.yaml makes, to see whether any
    icon is in it; for the whole library, while Dagster does not know one of those.

    Raises:
        BioiconsError: neither the library nor a decision has the category; curation.yaml cannot be read.
    """
    upstream = snapshot.current_categories(store)
    if options.category in upstream:
        return False
    made = load_curation(settings.curation).categories - set(upstream)
    asked = STAGES.index(options.until) >= STAGES.index(names.MANIFEST)
    if options.category is not None:
        check_category(options.category, [*upstream, *sorted(made)])
        return asked
    return asked and not made <= set(instance.get_dynamic_partitions(str(CATEGORIES.name)))


def run_pipeline(
    settings: Settings,
    options: Options,
    instance: dg.DagsterInstance,
    listener: launch.Listener | None = None,
) -> Summary:
    """Run the stages up to `options.until`, each through Dagster, and lay out what people open.

    Raises:
        BioiconsError: one sentence; what was finished before stays.
    """
    check_options(options, settings)
    upstream = _upstream(options, settings)
    last = STAGES.index(options.until)
    execute = partial(launch.execute, instance, listener=listener)
    execute("refresh_library", {"resources": upstream})
    store = Store(settings.resolved_store_root)
    if _made_by_a_curator(settings, options, store, instance):
        # Only the manifest registers such a category, and a run has the partitions known at its start.
        tags = launch.partition_tags(instance, None)
        execute("build_datasets", {"resources": upstream}, tags=tags, only=[names.MANIFEST])
        if options.category is not None:
            check_category(options.category, manifest.current_categories(store))
    chosen = None if options.category is None else [options.category]
    if last >= STAGES.index(names.MANIFEST):
        tags = launch.partition_tags(instance, chosen)
        # whoever wants the manifest alone does not wait for pictures, captions and dataset
        only = STAGES[1 : last + 1] if last < STAGES.index(names.DATASET) else ()
        execute("build_datasets", {"resources": upstream}, tags=tags, only=only)
        if chosen is None and options.until == names.DATASET:
            execute("build_library_dataset", {"resources": upstream})
    if last >= STAGES.index(names.WEIGHTS):
        prefix = "" if chosen else "library__"
        ops = {
            f"{prefix}lora_weights": {"config": _training_config(options)},
            f"{prefix}sample_grid": {"config": dict(options.sampling)},
        }
        config: dict = {"resources": {"base": {"config": {"name": options.base}}}, "ops": ops}
        if chosen:
            execute("train_category", config, tags=launch.partition_tags(instance, chosen))
        else:
            config["resources"] |= upstream
            execute("train_library", config)
    if last >= STAGES.index(names.EVALUATION):
        config = {"resources": {"base": {"config": {"name": options.base}}}}
        if chosen:
            execute("evaluate_category", config, tags=launch.partition_tags(instance, chosen))
        else:
            execute("evaluate_library", config)
    return lay_out(store, settings, options, listener)


def _shown(listener: launch.Listener | None, name: str) -> names.Progress | None:
    if listener is None:
        return None
    return lambda done, total: listener(launch.Progress("outputs", f"{name}: files copied", done, total))


def lay_out(
    store: Any, settings: Settings, options: Options, listener: launch.Listener | None = None
) -> Summary:
    """Copy what the run made from the store into folders with plain names; returns where they are."""
    from bioicons_pipeline.orchestration.stages import weights
    from bioicons_pipeline.training.base_models import resolve_base

    target = settings.root / "outputs" / (options.category or "library")
    outputs: dict[str, Path] = {}
    facts: dict[str, Mapping[str, Any]] = {}
    last = STAGES.index(options.until)
    base = None
    if last >= STAGES.index(names.WEIGHTS):
        base = weights.ref_name(resolve_base(options.base, settings.bases_dir))
    wanted = [
        (names.DATASET, None, "dataset"),
        (names.WEIGHTS, base, "lora"),
        (names.GRID, base, "grid"),
        (names.EVALUATION, base, "evaluation"),
    ]
    for asset in (names.SNAPSHOT, names.MANIFEST):
        ref = store.get_ref(asset, partition=options.category if asset == names.MANIFEST else None)
        facts[asset] = (ref.info or {}) if ref else {}
    for asset, of_base, name in wanted:
        if STAGES.index(asset) > last:
            continue
        ref = store.get_ref(asset, partition=options.category, base=of_base)
        if ref is None:
            continue
        facts[asset] = ref.info or {}
        place = target / (f"{name}-{base}" if of_base else name)
        outputs[asset] = store.checkout(ref.version_id, place, replace=True, progress=_shown(listener, name))
    return Summary(options.category, outputs, facts)
