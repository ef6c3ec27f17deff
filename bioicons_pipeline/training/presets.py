"""Named settings of a training, by the hardware that a person has. No torch here.

Belongs here: the presets and how one is adapted. Does not belong here: what a field means (config), how much
memory it needs (memory). `gpu-80gb` has the numbers of the project's earlier attempt: 1024 px, rank 16,
learning rate 1e-4, 1,000 steps.
"""

from __future__ import annotations

from typing import Any

from bioicons_pipeline.training.config import TrainingConfig, parse_config
from bioicons_pipeline.training.errors import TrainingError

PRESETS: dict[str, TrainingConfig] = {
    "gpu-80gb": TrainingConfig(validation_every=250),
    "gpu-24gb": TrainingConfig(quantize="int8", gradient_checkpointing=True, validation_every=250),
    "gpu-12gb": TrainingConfig(
        resolution=512,
        quantize="nf4",
        gradient_checkpointing=True,
        optimizer="adamw8bit",
        validation_every=250,
    ),
    "cpu-nano": TrainingConfig(
        resolution=64,
        rank=16,
        alpha=16.0,
        targets="attention+ff",
        steps=300,
        batch_size=8,
        learning_rate=1e-3,
        schedule="cosine",
        warmup_steps=10,
        t5_length=40,
        eval_every=60,
        eval_icons=16,
        checkpoint_every=60,
    ),
    "tiny": TrainingConfig(
        resolution=64,
        rank=16,
        alpha=32.0,
        targets="attention+ff",
        steps=240,
        batch_size=8,
        learning_rate=5e-3,
        schedule="cosine",
        warmup_steps=10,
        t5_length=48,
        eval_every=60,
        eval_icons=16,
        checkpoint_every=60,
    ),
}
"""`gpu-*` train FLUX.1-dev on a card of that much memory, `cpu-nano` flux-nano on two CPU cores, `tiny` the
tiny base with random weights."""

FORMER = {"flux-dev": "gpu-80gb"}
"""Names that presets had, which still work."""


def preset(name: str, **overrides: Any) -> TrainingConfig:
    """The preset `name` with single fields replaced; its warm-up shrinks with fewer steps.

    Raises:
        TrainingError: no such preset, no such field, or a value out of range.
    """
    name = FORMER.get(name, name)
    if name not in PRESETS:
        raise TrainingError(
            f"There is no training preset {name!r}: choose one of {', '.join(sorted(PRESETS))}."
        )
    values = {**PRESETS[name].model_dump(), **overrides}
    if "warmup_steps" not in overrides and isinstance(values["steps"], int):
        # whoever asks for fewer steps does not ask for a run that is all warm-up
        values["warmup_steps"] = min(values["warmup_steps"], max(0, values["steps"] // 10))
    return parse_config(values)
