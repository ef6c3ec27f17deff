"""The held-out losses themselves: the transformer on encoded icons, with and without adapters.

Belongs here: encoding what is missing and running the model. Does not belong here: what the losses say
(`heldout`). Noise, cache and objective are the trainer's own, so that a loss here is a loss there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioicons_pipeline.evaluation.heldout import SIGMAS, Losses, stranger
from bioicons_pipeline.generation.sampler import device_and_dtype, use_adapters

if TYPE_CHECKING:
    from bioicons_pipeline.training.base_models import BaseModel
    from bioicons_pipeline.training.cache import EncodingCache
    from bioicons_pipeline.training.data import Icon, IconSet

GUIDANCE = 1.0
"""What a guidance-distilled base is given, as in training."""
BATCH = 8


@dataclass(frozen=True)
class HeldOut:
    """Held-out icons ready for the model: `icons` and their `families`, and `strange`, the same icons with a
    stranger's caption (None with one family); `cache` has their encodings; `scaling` of the latents."""

    icons: tuple[Icon, ...]
    families: tuple[str, ...]
    strange: tuple[Icon, ...] | None
    cache: EncodingCache
    scaling: tuple[float, float]


def encode(
    base: BaseModel,
    icon_set: IconSet,
    families: Sequence[str],
    folder: Path,
    *,
    resolution: int,
    t5_length: int,
    progress: Callable[[str, int, int], None],
) -> HeldOut:
    """Encode pictures and main captions of `icon_set` (families in its order) into the cache in `folder`.

    Raises:
        TrainingError: a picture cannot be read, or the base lacks a part.
    """
    import torch

    from bioicons_pipeline.quiet import quieten_libraries
    from bioicons_pipeline.training.cache import EncodingCache
    from bioicons_pipeline.training.encoders import fill_cache, latent_scaling

    quieten_libraries()
    device, dtype = device_and_dtype()
    cache = EncodingCache(folder, f"{base.fingerprint}/{dtype}", resolution, t5_length)
    captions = sorted({icon.captions[0] for icon in icon_set.icons})
    with torch.inference_mode():
        fill_cache(cache, base, (icon_set,), captions, device=device, dtype=dtype, progress=progress)
    others = stranger(families)
    strange = None
    if others is not None:
        strange = tuple(
            replace(icon, captions=icon_set.icons[other].captions)
            for icon, other in zip(icon_set.icons, others, strict=True)
        )
    return HeldOut(icon_set.icons, tuple(families), strange, cache, latent_scaling(base))


def losses_of(
    pipeline: Any,
    scales: Sequence[float],
    heldout: HeldOut,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Losses:
    """Losses of the pipeline's transformer with its adapters at `scales`; () is the base.

    Raises:
        NonFiniteError: a loss is not finite: the adapter is damaged.
    """
    import torch

    from bioicons_pipeline.training.evaluate import FixedNoise, fixed_noise_losses

    use_adapters(pipeline, scales)
    device, dtype = device_and_dtype()
    transformer = pipeline.transformer
    done = 0
    sets = [heldout.icons, *([heldout.strange] if heldout.strange else [])]
    measured = []
    for icons in sets:

        def moved(now: int, total: int, before: int = done) -> None:
            if progress:
                progress(before + now, total * len(sets))

        half = dtype != torch.float32
        found = fixed_noise_losses(
            transformer,
            FixedNoise(icons, SIGMAS, seed),
            heldout.cache,
            scaling=heldout.scaling,
            guidance=GUIDANCE if transformer.config.guidance_embeds else None,
            batch_size=BATCH,
            device=device,
            autocast=torch.autocast(device.type, dtype=dtype) if half else nullcontext(),
            step=0,
            progress=moved,
        )
        measured.append(np.array(found, dtype=np.float64))
        done += len(SIGMAS) * len(icons)
    return Losses(measured[0], measured[1] if len(measured) > 1 else None)
