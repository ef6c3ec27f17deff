"""Does a LoRA return its training icons: likely copies beyond what real, unseen icons reach by chance.

Belongs here: rates and their excess, overall and per prompt. Does not belong here: the copy score and its
calibrated threshold (`generation.copies`).

Icons resemble each other: some held-out icons, which nobody copied, pass for copies of training icons too.
What counts is the excess over their rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bioicons_pipeline.evaluation.intervals import Estimate, rate, rate_difference
from bioicons_pipeline.generation.copies import CopyScore


@dataclass(frozen=True)
class Scored:
    """Copy scores of pictures, and the group of each: the prompt of a generated one, the family of a real."""

    scores: tuple[CopyScore, ...]
    groups: tuple[str, ...]

    @property
    def hits(self) -> list[bool]:
        """Which are likely copies."""
        return [score.likely_copy for score in self.scores]


@dataclass(frozen=True)
class PromptCopies:
    """One prompt: of `pictures`, how many are likely copies; the highest `score` and whose icon it is."""

    prompt: str
    pictures: int
    copies: int
    score: float
    nearest: str


def copy_rate(scored: Scored) -> Estimate:
    """Share of likely copies."""
    return rate(scored.hits, scored.groups)


def excess(generated: Scored, real: Scored) -> Estimate:
    """Share of likely copies among generated icons minus that among held-out real icons."""
    return rate_difference(generated.hits, generated.groups, real.hits, real.groups)


def by_prompt(prompts: Sequence[str], scores: Sequence[CopyScore]) -> tuple[PromptCopies, ...]:
    """One entry a prompt, in order of first appearance; the icon's key is "" where nothing was drawn."""
    found = []
    for prompt in dict.fromkeys(prompts):
        own = [score for said, score in zip(prompts, scores, strict=True) if said == prompt]
        worst = max(own, key=lambda score: score.score)
        nearest = worst.nearest[0].key if worst.nearest else ""
        copies = sum(score.likely_copy for score in own)
        found.append(PromptCopies(prompt, len(own), copies, worst.score, nearest))
    return tuple(found)
