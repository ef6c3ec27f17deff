"""The form of every figure that is reported: values with bounds, verdicts, and proof that the figure works.

Belongs here: these records, and when a difference counts as better. Does not belong here: computing figures
(the module of each), words of the page (`report`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bioicons_pipeline.evaluation.intervals import Estimate

State = Literal["good", "unsure", "bad"]
BASE, REAL, CHANCE, NOISE, GRAIN = "base", "real icons", "chance", "noise", "real icons with grain"
RESERVED = (BASE, REAL, CHANCE, NOISE, GRAIN, "train")
"""Names of the lines that are bounds, and of training icons: no LoRA may be called so."""


@dataclass(frozen=True)
class Verdict:
    """What a figure says of one LoRA: `state` and one sentence."""

    state: State
    sentence: str


@dataclass(frozen=True)
class Proof:
    """Something that must hold of a figure on this very data, else the figure is not reported."""

    claim: str
    holds: bool


@dataclass(frozen=True)
class Measure:
    """One figure. lines: by name, LoRAs and the bounds; changes: by LoRA, its value minus
    the base's, or minus that of real icons where the title says so; better: the direction that is good;
    absent: why there is no value, "" where there is one."""

    key: str
    title: str
    explained: str
    better: Literal["lower", "higher", "near real"]
    lines: Mapping[str, Estimate] = field(default_factory=dict)
    changes: Mapping[str, Estimate] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    proofs: tuple[Proof, ...] = ()
    absent: str = ""

    @property
    def reported(self) -> bool:
        """It has a value, and its proofs hold."""
        return not self.absent and all(proof.holds for proof in self.proofs)

    @property
    def why_not(self) -> str:
        """A sentence why it is not reported; "" where it is."""
        failed = [proof.claim for proof in self.proofs if not proof.holds]
        if self.absent or not failed:
            return self.absent
        return f"Not reported, for on these icons it does not hold that {'; nor that '.join(failed)}."


def lower_is_better(change: Estimate, what: str, than: str = "the base") -> Verdict:
    """The verdict on a change that should be below zero, with its interval."""
    if change.below_zero:
        return Verdict("good", f"{what} than {than}.")
    if change.value < 0:
        return Verdict("unsure", f"{what} than {than}, but too few icons to be sure.")
    return Verdict("bad", f"Not {what[0].lower()}{what[1:]} than {than}.")
