"""How flux-nano was trained, stage by stage: what its card and its `history.json` show.

Belongs here: thinning the loss curves. Does not belong here: training.
"""

from __future__ import annotations

from typing import Any

from bioicons_pipeline.training.pretrain.stages import Trained


def history(trained: Trained, points: int = 200) -> dict[str, Any]:
    """Per stage: seconds, evaluations, and the training loss averaged into at most `points` points."""
    found: dict[str, Any] = dict(trained.earlier)
    for stage, state in trained.histories.items():
        width = max(1, -(-len(state.losses) // points))
        means = [
            round(sum(part) / len(part), 5)
            for part in (state.losses[at : at + width] for at in range(0, len(state.losses), width))
        ]
        found[stage] = {
            "steps": state.step,
            "seconds": round(state.seconds, 1),
            "steps_per_point": width,
            "loss": means,
            "evaluations": state.evaluations,
        }
    return found
