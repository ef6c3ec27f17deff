"""lora_weights: what is asked of the trainer, and the acceptance of what it committed.

Version tree: what `bioicons_pipeline.training` writes, or `not_trained.json` for a category that has
too few icons to learn from. The trainer commits a version; the ref is moved here, after the version was
read back and found to belong to the dataset and base that were asked for.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioicons_pipeline.captioning import TRIGGER
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.stages.base import (
    DATASET,
    WEIGHTS,
    Guard,
    Outcome,
    input_key,
    publish,
    read_json,
    require_ref,
    to_json,
    unchanged,
)
from bioicons_pipeline.orchestration.stages.codes import CODE_VERSIONS
from bioicons_pipeline.orchestration.stages.gone import WithdrawnError, kept
from bioicons_pipeline.orchestration.stages.withdrawn import refuse_withdrawn
from bioicons_pipeline.store import Store, leases
from bioicons_pipeline.training.base_models import REGISTRY, BaseModel, RegisteredBase
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.files import REPORT_NAME, WEIGHTS_NAME
from bioicons_pipeline.training.findings import adapter_faults
from bioicons_pipeline.training.header import safetensors_metadata
from bioicons_pipeline.training.presets import preset
from bioicons_pipeline.training.request import TrainingRequest

CODE_VERSION = CODE_VERSIONS[WEIGHTS]
MINIMUM_ICONS = 12
SMALL_BASE_BYTES = 2**30
"""A transformer file under 1 GiB is small enough to train on a CPU."""
NOT_TRAINED = "not_trained.json"


class TrainingRejectedError(BioiconsError):
    """The trainer's result is not what was asked for."""


@dataclass(frozen=True)
class Plan:
    """One of: `done` (nothing to train: current, or too few icons), or a `request` for the trainer.
    `asked_by`: the version of the training plan that there was at this moment, "" without one."""

    key: str
    done: Outcome | None = None
    request: TrainingRequest | None = None
    asked_by: str = ""


def plan(
    store: Store,
    category: str | None,
    base: BaseModel,
    config: TrainingConfig,
    *,
    base_argument: str,
    work_dir: Path,
    cache_dir: Path,
    force: bool = False,
    asked_by: str = "",
) -> Plan:
    """What to train for `category` (None: the whole library) on `base`, which `base_argument` names.

    Of a category that is gone the last LoRA stays; one that was never trained gets its record, or automation
    would ask for it, and fail, every week.
    """
    place = {"partition": category, "base": ref_name(base)}
    try:
        if stays := kept(store, WEIGHTS, category, ref_name(base)):
            return Plan(key="", done=stays)
    except WithdrawnError:
        record = {"status": "not trained", "reason": "withdrawn upstream", "icons": 0}
        return Plan(key="", done=_not_trained(store, record, "", asked_by, place))
    dataset = require_ref(store, DATASET, category)
    facts = read_json(store, dataset.version_id, "dataset.json")
    key = training_key(dataset.version_id, base, config)
    current = None if force else unchanged(store, WEIGHTS, key, **place)
    if current:
        return Plan(key, done=Outcome(current.version_id, False, current.info or {}))
    few = facts["icons"] < MINIMUM_ICONS
    if few or not facts["splits"]["train"]:
        reason = f"n < {MINIMUM_ICONS}" if few else "all icons are held out"
        record = {"status": "not trained", "reason": reason, "icons": facts["icons"]}
        return Plan(key, done=_not_trained(store, record, key, asked_by, place))
    request = request_for(
        store, category, config, base_argument=base_argument, work_dir=work_dir, cache_dir=cache_dir
    )
    # a commit to the base's repository before a host starts must not train what was not asked for
    changes = {"input_key": key, "force": force, "base_revision": base.revision}
    request = request.model_copy(update=changes)
    return Plan(key, request=request, asked_by=asked_by)


def without_dataset(store: Store, category: str | None, base: BaseModel) -> Outcome | None:
    """The record of a category that was stopped before its first dataset, and has no LoRA; else None.

    For what automation asks only: without a record it would ask, and fail, every week. Once there is a
    dataset its plan moves. A person is told what is missing (`plan`).
    """
    place = {"partition": category, "base": ref_name(base)}
    weights = store.get_ref(WEIGHTS, **place)
    trained = weights is not None and (weights.info or {}).get("status") != "not trained"
    if category is None or trained or store.get_ref(DATASET, partition=category):
        return None
    record = {"status": "not trained", "reason": "there is no dataset of it", "icons": 0}
    return _not_trained(store, record, "", "", place)


def _not_trained(
    store: Store, record: dict[str, Any], key: str, asked_by: str, place: dict[str, Any]
) -> Outcome:
    facts = {**record, "input_key": key, "plan_version": asked_by}
    return publish(store, WEIGHTS, {NOT_TRAINED: to_json(record)}, facts, **place)


def training_key(dataset_version: str, base: BaseModel, config: TrainingConfig) -> str:
    """Hash of all that an adapter is computed from."""
    return input_key(
        code=CODE_VERSION,
        dataset=dataset_version,
        base=base.fingerprint,
        config=config.identity(),
        minimum=MINIMUM_ICONS,
    )


def request_for(
    store: Store,
    category: str | None,
    config: TrainingConfig,
    *,
    base_argument: str,
    work_dir: Path,
    cache_dir: Path,
) -> TrainingRequest:
    """The request for training `config` on the current dataset of `category` (None: the whole library).

    Raises:
        BioiconsError: there is no dataset, or it has too few icons to learn from.
        BlockedError: the category is gone, or the manifest has withdrawn an icon since the dataset was built,
            which not every way to a training builds again.
    """
    dataset = require_ref(store, DATASET, category)
    facts = read_json(store, dataset.version_id, "dataset.json")
    if facts["icons"] < MINIMUM_ICONS:
        raise BioiconsError(
            f"{category or 'The library'} has {facts['icons']} icons, and a training needs {MINIMUM_ICONS}: "
            "choose another category."
        )
    refuse_withdrawn(store, category, dataset.version_id)
    provenance = {
        "upstream_commit": facts["commit"],
        "upstream_source": facts["source_url"],
        "licence_preset": facts["licence_preset"],
        "licence_mix": facts["licence_mix"],
        "trigger": TRIGGER,
        "category": category or "all",
        "icons": facts["icons"],
    }
    return TrainingRequest(
        store_root=str(store.root),
        dataset_version=dataset.version_id,
        base=base_argument,
        config=config,
        partition=category or "library",
        work_dir=str(work_dir),  # the trainer keeps runs apart by identity, and shares encodings
        cache_dir=str(cache_dir),
        provenance=provenance,
    )


@contextmanager
def lease(
    store: Store, asset: str, category: str | None, base: BaseModel, holder: str
) -> Iterator[leases.Lease]:
    """Hold the right to train for `category` and `base`, and to publish what comes of it.

    Raises:
        LeaseHeldError: another process trains the same and is alive.
    """
    with leases.held(store.backend, asset, partition=category, base=ref_name(base), holder=holder) as lease:
        yield lease


def accept(
    store: Store,
    plan_: Plan,
    base: BaseModel,
    category: str | None,
    version_id: str,
    guard: Guard | None = None,
) -> Outcome:
    """Verify the version that the trainer committed, and make it the current one, if `guard` lets it.

    Raises:
        TrainingRejectedError: a file is missing, the adapter is of another dataset or of another content of
            the base, or it is no sound one.
        LeaseLostError: another process trains the same now.
    """
    assert plan_.request is not None
    version = store.version(version_id)
    names = {entry.path for entry in version.files}
    missing = {WEIGHTS_NAME, REPORT_NAME} - names
    if missing:
        raise TrainingRejectedError(
            f"The training of {plan_.request.partition} committed no {', '.join(sorted(missing))}: "
            "see the run's log for what the trainer said, then run it again."
        )
    header = safetensors_metadata(store.read(version, WEIGHTS_NAME))
    asked = {"dataset_version": plan_.request.dataset_version, "base_fingerprint": base.fingerprint}
    pinned = plan_.request.base_revision
    if pinned and header.get("base_revision") == pinned:
        # the same commit is the same base, though a hub tells the hashes of files to one of the two only
        del asked["base_fingerprint"]
    for name, value in asked.items():
        if header.get(name) != value:
            raise TrainingRejectedError(
                f"The trainer returned an adapter whose {name} is {header.get(name)}, asked for was {value}: "
                f"see that it has the same base as this machine, delete {plan_.request.work_dir} there, and "
                "run it again."
            )
    if faults := adapter_faults(store.read(version, WEIGHTS_NAME)):
        raise TrainingRejectedError(
            f"The adapter of {plan_.request.partition} is refused: {faults[0]}"
            f"{f' (and {len(faults) - 1} more)' if len(faults) > 1 else ''}; the last good one stays. "
            "Train it again with --force, with a smaller learning rate if it is not finite."
        )
    report = json.loads(store.read(version, REPORT_NAME))
    facts = {
        "status": "trained",
        "dataset_version": plan_.request.dataset_version,
        "base": base.name,
        **{name: getattr(plan_.request.config, name) for name in ("steps", "resolution", "t5_length")},
        "fixed_noise_loss": {"before": report["train_loss_before"], "after": report["train_loss_after"]},
        "heldout_loss": {"before": report["heldout_loss_before"], "after": report["heldout_loss_after"]},
        **plan_.request.provenance,
    }
    info = {**facts, "input_key": plan_.key, "plan_version": plan_.asked_by}
    return publish(store, WEIGHTS, version, info, partition=category, base=ref_name(base), guard=guard)


def _registered(base: BaseModel) -> RegisteredBase | None:
    """Its row of the registry; None for a folder, whatever the folder is called."""
    row = REGISTRY.get(base.name)
    return row if row is not None and base.licence == row.licence else None


def ref_name(base: BaseModel) -> str:
    """The base's part of a ref: its name; a folder's has its content too, for any folder can be `model`."""
    if _registered(base):
        return base.name
    return f"{base.name}-{base.fingerprint.removeprefix('sha256:')[:8]}"


def preset_for(base: BaseModel) -> str:
    """The training preset that suits a base: what the registry says, for a folder by its size."""
    if row := _registered(base):
        return row.preset
    folder = Path(base.path) / "transformer"
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return "cpu-nano" if size < SMALL_BASE_BYTES else "gpu-80gb"


def sampling_of(base: BaseModel) -> dict[str, Any]:
    """Fields of SamplingSettings that `base` is sampled with; {}: the defaults suit it."""
    row = _registered(base)
    return dict(row.sampling) if row else {}


def check_training(choices: dict) -> None:
    """Refuse training settings that no preset can have, before anything runs."""
    chosen = {key: value for key, value in choices.items() if key != "force"}
    name = chosen.pop("preset", None) or "gpu-80gb"
    preset(name, **{key: value for key, value in chosen.items() if value is not None})


def current_facts(store: Store, category: str | None, base_name: str) -> dict:
    """What is known of the current adapter.

    Raises:
        MissingInputError: nothing was trained for this category and base yet.
    """
    return dict(require_ref(store, WEIGHTS, category, base_name).info or {})


def current_faults(store: Store, category: str | None, base_name: str) -> list[str]:
    """What is wrong with the file of the current adapter; [] where none was trained."""
    ref = store.get_ref(WEIGHTS, partition=category, base=base_name)
    if ref is None or (ref.info or {}).get("status") != "trained":
        return []
    return adapter_faults(store.read(store.version(ref.version_id), WEIGHTS_NAME))


def training_config(base: BaseModel, choices: dict) -> TrainingConfig:
    """The preset that suits `base`, with the choices that are set: preset, steps, rank, …, overrides.

    Raises:
        BioiconsError: an unknown field or a value out of range, named.
    """
    chosen = dict(choices)
    name = chosen.pop("preset", "") or preset_for(base)
    try:
        overrides = json.loads(chosen.pop("overrides", None) or "{}")
        if not isinstance(overrides, dict):
            raise ValueError("expected a JSON object")
    except ValueError as error:
        raise BioiconsError(
            f"The training overrides are no JSON object ({error}): write e.g. '{{\"rank\": 8}}'."
        ) from error
    row = _registered(base)
    needed = dict(row.training) if row else {}
    fields = {**needed, **{key: value for key, value in chosen.items() if value is not None}, **overrides}
    return preset(name, **fields)
