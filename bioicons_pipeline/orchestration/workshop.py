"""What icons are made with, found in the store: base, LoRAs, settings, training icons.

Belongs here: which LoRA a name means, which one suits a category, what is refused before anything heavy is
loaded. Does not belong here: making the icons (`generation.make`), words on a terminal or a page.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation.adapters import Adapter, read_adapter
from bioicons_pipeline.generation.make import Workshop
from bioicons_pipeline.generation.sampler import SamplingSettings, check_settings, load_pipeline
from bioicons_pipeline.generation.training_icons import TrainingIcons, read_training_icons
from bioicons_pipeline.orchestration.stages.base import DATASET, WEIGHTS, MissingInputError
from bioicons_pipeline.orchestration.stages.manifest import check_category, current_categories
from bioicons_pipeline.orchestration.stages.weights import (
    MINIMUM_ICONS,
    ref_name,
    sampling_of,
    training_config,
)
from bioicons_pipeline.store import Ref, Store, StoreError
from bioicons_pipeline.store.names import ALL
from bioicons_pipeline.training.base_models import BaseModel
from bioicons_pipeline.training.files import WEIGHTS_NAME
from bioicons_pipeline.whole import write_whole

LIBRARY = "library"
"""What people call the LoRA of the whole library."""
Progress = Callable[[int, int], None]


class NotTrainedError(BioiconsError):
    """There is no LoRA of this name on this base."""


@dataclass(frozen=True)
class Stock:
    """Where models and LoRAs are: `store`; `cache`, a folder that may be deleted at any time."""

    store: Store
    cache: Path


def trained_ref(store: Store, category: str | None, stored_as: str) -> Ref | None:
    """The ref of the newest LoRA of a category (None: the library) on a base, as refs name it
    (`weights.ref_name`); None where none was trained, be it for want of icons."""
    ref = store.get_ref(WEIGHTS, partition=category, base=stored_as)
    return ref if ref is not None and _is_trained(ref) else None


def trained_names(store: Store, base: BaseModel) -> list[str]:
    """Names of all LoRAs on a base: the library's first, then categories."""
    refs = store.list_refs(WEIGHTS, ref_name(base))
    names = [LIBRARY if key == ALL else key for key, ref in refs.items() if _is_trained(ref)]
    return sorted(names, key=lambda name: (name != LIBRARY, name))


def _is_trained(ref: Ref) -> bool:
    return (ref.info or {}).get("status") == "trained"


def named_adapter(stock: Stock, base: BaseModel, text: str) -> Adapter:
    """The LoRA that `NAME` or `NAME=SCALE` means; a name is a category, `library`, or a file. What is trained
    goes before a file that happens to have its name.

    Raises:
        NotTrainedError: there is none of this name; says which there are.
        AdapterError: the file is missing or of another base, or the scale is out of range.
    """
    name, scale, ref = text, 1.0, _trained(stock, base, text)
    if ref is None:
        name, scale = _split(text)
        ref = _trained(stock, base, name)
    if ref is None and (name.endswith(".safetensors") or Path(name).is_file()):
        return read_adapter(Path(name), base, scale=scale)
    if ref is None:
        there = ", ".join(trained_names(stock.store, base))
        there = f"there are {there}" if there else "none is trained yet: see `bioicons run --help`"
        raise NotTrainedError(f"There is no LoRA {name!r} on {base.name}; {there}.")
    version = stock.store.version(ref.version_id)
    entry = version.entry(WEIGHTS_NAME)
    target = stock.cache / "adapters" / f"{entry.sha256}.safetensors"
    if not target.is_file() or target.stat().st_size != entry.size:
        write_whole(target, stock.store.read(version, WEIGHTS_NAME))
    return read_adapter(target, base, name=name, scale=scale, version=ref.version_id)


def _trained(stock: Stock, base: BaseModel, name: str) -> Ref | None:
    """The ref of the LoRA that people call `name`."""
    return trained_ref(stock.store, None if name == LIBRARY else name, ref_name(base))


def _split(text: str) -> tuple[str, float]:
    """Name and scale of `NAME=SCALE`; a path may have a `=` of its own, as in `runs/rank=8/x.safetensors`.

    Raises:
        BioiconsError: what stands behind the `=` is no number.
    """
    name, _, strength = text.rpartition("=")
    if not name or "/" in strength or Path(text).is_file():
        return text, 1.0
    try:
        return name, float(strength)
    except ValueError:
        raise BioiconsError(
            f"The scale {strength!r} of LoRA {name} is no number: write e.g. {name}=0.8."
        ) from None


def check_known(store: Store, category: str) -> None:
    """Refuse a category that the library does not have, before it is in a prompt and a card.

    Raises:
        BioiconsError: there is no such category; says which there are.
    """
    try:
        known = current_categories(store)
    except MissingInputError:  # nothing was run yet, so every name is as good as another
        return
    check_category(category, known)


def suitable_adapter(stock: Stock, base: BaseModel, category: str | None) -> Adapter | None:
    """The LoRA of a category, else of the library, else None."""
    for name in (category, LIBRARY) if category else (LIBRARY,):
        try:
            return named_adapter(stock, base, name)
        except NotTrainedError:
            continue
    return None


def what_is_missing(stock: Stock, base: BaseModel, category: str | None, base_argument: str) -> str:
    """Half a sentence: there is no LoRA that suits `category`, and the command that trains one.

    base_argument: the base as the user named it; of a folder `base` itself knows the last part only.
    """
    of = f" of {category} or the library" if category else " of the library"
    others = [name for name in trained_names(stock.store, base) if name != LIBRARY]
    there = f" (there are {', '.join(others)}: --lora NAME)" if others else ""
    built = stock.store.get_ref(DATASET, partition=category) if category else None
    icons = int((built.info or {}).get("icons", MINIMUM_ICONS)) if built else MINIMUM_ICONS
    if icons < MINIMUM_ICONS:  # its own command would end in "not trained"
        advice = f"{category} has {icons} icons, too few for one of its own; train the library's with"
        category = None
    else:
        advice = "train one with"
    words = ["bioicons", "run", *(["--category", category] if category else []), "--base", base_argument]
    return f"There is no LoRA{of} on {base.name}{there}: {advice} `{shlex.join(words)}`"


def make_workshop(
    stock: Stock,
    base: BaseModel,
    adapters: Sequence[Adapter],
    choices: dict[str, Any],
    *,
    warn: Callable[[str], None],
    progress: Progress | None = None,
) -> Workshop:
    """Everything that icons are made with; the model itself is loaded when the first icon needs it.

    choices: fields of SamplingSettings; what is None is as the LoRA was trained, else as suits the base.
    warn: told a sentence when the training icons cannot be read; progress: of reading them.
    Raises:
        GenerationError: a setting is out of range.
    """
    suits = training_config(base, {})
    known = sampling_of(base) | {
        "size": next((found.resolution for found in adapters if found.resolution), suits.resolution),
        "max_sequence_length": next(
            (found.t5_length for found in adapters if found.t5_length), suits.t5_length
        ),
    }
    sampling = SamplingSettings(**known | {key: value for key, value in choices.items() if value is not None})
    check_settings(sampling)
    return Workshop(
        base=base,
        adapters=adapters,
        settings=sampling,
        pipeline=lambda: load_pipeline(base, [found.path for found in adapters]),
        training=_training_icons(stock, adapters, warn, progress),
    )


def _training_icons(
    stock: Stock, adapters: Sequence[Adapter], warn: Callable[[str], None], progress: Progress | None
) -> TrainingIcons | None:
    """The icons to compare with: those of the datasets of all adapters, if all are at hand."""
    datasets = [found.dataset_version for found in adapters]
    if not datasets or not all(datasets):
        return None
    try:
        return read_training_icons(stock.store, datasets, stock.cache / "copies", progress=progress)
    except StoreError as error:
        warn(f"No comparison with training icons: {error}")
        return None
