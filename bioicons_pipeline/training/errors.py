"""What can go wrong in a training that the user can do something about. Imports nothing heavy."""

from collections.abc import Sequence

from bioicons_pipeline.errors import BioiconsError


class TrainingError(BioiconsError):
    """A training that cannot start or cannot go on; the message says what to change."""


class DivergedError(TrainingError):
    """A training whose numbers ran away: its settings (or icons) are at fault, not the machine it ran on."""


class NonFiniteError(DivergedError):
    """Loss or gradient became NaN or infinite; carries where: `step`, `icon_ids`, `sigmas`."""

    def __init__(self, what: str, step: int, icon_ids: Sequence[str], sigmas: Sequence[float]) -> None:
        self.step, self.icon_ids, self.sigmas = step, tuple(icon_ids), tuple(sigmas)
        shown = ", ".join(f"{icon} (σ={sigma:.4f})" for icon, sigma in zip(icon_ids, sigmas, strict=True))
        super().__init__(
            f"The {what} is not finite at step {step}, icons {shown}: look at these icons, or lower "
            "learning_rate or max_grad_norm; the last checkpoint before this step is kept."
        )


class CheckpointMismatchError(TrainingError):
    """A checkpoint of another dataset, base or config; the message names what differs."""
