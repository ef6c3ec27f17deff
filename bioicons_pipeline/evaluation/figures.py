"""From pictures and losses to the figures of a report, each with its bounds, verdicts and proofs.

Belongs here: which sets are compared for each figure, and what must hold before it is reported. Does not
belong here: how a distance or rate is computed (the module of each), sampling and encoding (`evaluate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bioicons_pipeline.evaluation import adherence, distance, heldout, memorization
from bioicons_pipeline.evaluation.descriptor import shape_and_colour
from bioicons_pipeline.evaluation.distance import Kernel, Pictures, Scale
from bioicons_pipeline.evaluation.features import LEAST, NAMES, SIDE, style_features
from bioicons_pipeline.evaluation.intervals import Estimate, mean_estimate
from bioicons_pipeline.evaluation.measure import (
    BASE,
    CHANCE,
    NOISE,
    REAL,
    Measure,
    Proof,
    Verdict,
    lower_is_better,
)
from bioicons_pipeline.evaluation.memorization import Scored

NOISES = 16
"""Pictures of pure noise that a figure must put behind everything else."""


@dataclass(frozen=True)
class Gallery:
    """Pictures to compare, RGB of one size. drawn: by model (BASE and LoRAs), one a prompt; prompts and
    groups of them; heldout and train: real icons and their families. Prompts are the captions of the held-out
    icons, in their order, from the first again when there are more."""

    prompts: tuple[str, ...]
    groups: tuple[str, ...]
    drawn: Mapping[str, Sequence[Image.Image]]
    heldout: tuple[Sequence[Image.Image], tuple[str, ...]]
    train: tuple[Sequence[Image.Image], tuple[str, ...]]

    @property
    def loras(self) -> list[str]:
        """Names of the LoRAs."""
        return [name for name in self.drawn if name != BASE]

    @property
    def originals(self) -> list[Image.Image]:
        """The real icon of each prompt."""
        pictures = self.heldout[0]
        return [pictures[place % len(pictures)] for place in range(len(self.prompts))]


def noise_pictures(size: int = SIDE) -> list[Image.Image]:
    """Pictures in which every pixel is random: the worst there is."""
    random = np.random.default_rng(0)
    return [
        Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8), "RGB")
        for _ in range(NOISES)
    ]


def loss_measures(
    losses: Mapping[str, heldout.Losses], families: Sequence[str], categories: Sequence[str]
) -> tuple[dict[str, heldout.LossFigures], list[Measure]]:
    """Figures by model, and the two measures: the loss, and whether words matter."""
    base = losses[BASE]
    found = {
        name: heldout.figures(one, None if name == BASE else base, families, categories)
        for name, one in losses.items()
    }
    changes = {name: one.change for name, one in found.items() if one.change is not None}
    loss = Measure(
        "heldout_loss",
        "Predicting icons it has never seen (held-out loss)",
        "The error the model makes when it removes noise from real icons that were kept out of training, "
        "with the same noise for all models.",
        "lower",
        {name: one.mean for name, one in found.items()},
        changes,
        {name: lower_is_better(change, "Predicts unseen icons better") for name, change in changes.items()},
    )
    words = {name: one.words for name, one in found.items() if one.words is not None}
    explained = (
        "How much larger the error becomes when the model is given the caption of another icon. "
        "Near zero: it does not listen to words."
    )
    title = "Use of the caption (loss with a wrong caption minus loss with the right one)"
    absent = "" if words else "All held-out icons are of one family: there is no stranger's caption."
    # on few icons the gain drowns in their spread: a LoRA trained on shuffled captions then looks the same
    clear = BASE in words and words[BASE].above_zero
    claim = "the base predicts icons clearly better with their own caption than with another's"
    use = Measure(
        "caption_use", title, explained, "higher", words, proofs=(Proof(claim, clear),), absent=absent
    )
    return found, [loss, use]


def style_measure(gallery: Gallery) -> tuple[Measure, dict[str, np.ndarray]]:
    """Distance of generated icons to held-out ones in style features, and the features by set."""
    features = {
        **{name: _styles(pictures) for name, pictures in gallery.drawn.items()},
        REAL: _styles(gallery.heldout[0]),
        "train": _styles(gallery.train[0]),
        NOISE: _styles(noise_pictures()),
    }
    scale = Scale.of(features["train"], tuple(LEAST.values()))
    groups = dict.fromkeys(gallery.drawn, gallery.groups) | {
        REAL: gallery.heldout[1],
        "train": gallery.train[1],
        NOISE: tuple(f"noise {number}" for number in range(NOISES)),
    }
    sets = {name: Pictures(scale.apply(found), groups[name]) for name, found in features.items()}
    measure = _distances(
        sets,
        gallery.loras,
        distance.polynomial,
        ("style", "Style: distance to real icons (KID on style features)"),
        "How far a set of pictures is from held-out icons in colours, outlines, shading, background and "
        "layout; what is drawn does not count. Real icons against real icons is the best there can be.",
    )
    return measure, features


def embedding_measure(
    vectors: Mapping[str, np.ndarray], gallery: Gallery, noise: np.ndarray, name: str
) -> Measure:
    """The same distance on the embeddings of a model: by drawn model, REAL (held-out) and "train"."""
    groups = dict.fromkeys(gallery.drawn, gallery.groups) | {
        REAL: gallery.heldout[1],
        "train": gallery.train[1],
    }
    sets = {key: Pictures(vectors[key], groups[key]) for key in groups}
    sets[NOISE] = Pictures(noise, tuple(f"noise {number}" for number in range(len(noise))))
    return _distances(
        sets,
        gallery.loras,
        distance.gaussian,
        ("embedding", f"Looks: distance to real icons (CMMD on {name})"),
        f"How far a set of pictures is from held-out icons as the model {name} sees them.",
    )


def _distances(
    sets: Mapping[str, Pictures], loras: Sequence[str], kernel: Kernel, named: tuple[str, str], explained: str
) -> Measure:
    if min(len(set(found.groups)) for found in sets.values()) < 2:
        return Measure(*named, explained, "lower", absent="It needs at least two families of held-out icons.")
    what = "style" if named[0] == "style" else "looks"
    real = distance.distance(sets["train"], sets[REAL], kernel)
    noise = distance.distance(sets[NOISE], sets[REAL], kernel)
    lines = {name: distance.distance(sets[name], sets[REAL], kernel) for name in (BASE, *loras)}
    changes = {name: distance.closer(sets[name], sets[BASE], sets[REAL], kernel) for name in loras}
    proofs = (
        Proof("real icons are closer to real icons than the base is", real.value < lines[BASE].value),
        Proof("noise is the farthest", noise.value > max(line.value for line in (real, *lines.values()))),
    )
    return Measure(
        *named,
        explained,
        "lower",
        {REAL: real, **lines, NOISE: noise},
        changes,
        {
            name: lower_is_better(change, f"Closer to real icons in {what}")
            for name, change in changes.items()
        },
        proofs,
    )


def _styles(pictures: Sequence[Image.Image]) -> np.ndarray:
    return np.stack([style_features(picture) for picture in pictures])


def feature_table(features: Mapping[str, np.ndarray], models: Sequence[str]) -> list[dict[str, float | str]]:
    """One row a feature: its mean in each set, and how many deviations of real icons each is off."""
    deviation = Scale.of(features["train"], tuple(LEAST.values())).deviation
    rows: list[dict[str, float | str]] = []
    for column, name in enumerate(NAMES):
        row: dict[str, float | str] = {"feature": name}
        real = features[REAL][:, column].mean()
        for key in (REAL, *models):
            mean = features[key][:, column].mean()
            row[key] = round(float(mean), 4)
            row[f"{key} off"] = round(float((mean - real) / deviation[column]), 2)
        rows.append(row)
    return rows


def word_measure(
    gallery: Gallery, asked: Sequence[frozenset[str]], known: Sequence[frozenset[str]]
) -> Measure:
    """Nearest-training-word agreement. asked: words of each prompt's icon, in the order of `gallery.prompts`;
    known: of each training icon, in the order of `gallery.train`."""
    named = ("words", "Draws what was asked (nearest training icons have the word)")
    explained = (
        f"Of each picture the {adherence.NEIGHBOURS} most similar training icons are looked up: has one of "
        "them the asked word in its name? Real icons, and icons picked by chance, show what is possible."
    )
    words = adherence.askable(asked, known)
    kept = [place for place, word in enumerate(words) if word is not None]
    if len({gallery.groups[place] for place in kept}) < 2:
        absent = f"Too few held-out icons have a word that {adherence.LEAST} training icons have as well."
        return Measure(*named, explained, "higher", absent=absent)
    chosen = [word for word in words if word is not None]
    vectors = np.stack([shape_and_colour(np.asarray(picture)) for picture in gallery.train[0]])
    index = adherence.TrainingIndex(tuple(known), vectors)
    groups = [gallery.groups[place] for place in kept]
    lines: dict[str, Estimate] = {}
    chance = 0.0
    pictures = {**gallery.drawn, REAL: gallery.originals}
    for name, drawn in pictures.items():
        looked = [shape_and_colour(np.asarray(drawn[place])) for place in kept]
        lines[name], chance = adherence.agreement(chosen, looked, groups, index)
    lines[CHANCE] = Estimate(chance, None, None, len(set(groups)))
    low = lines[REAL].low
    able = low is not None and low > chance
    claim = "real icons have the word among their neighbours clearly more often than chance"
    return Measure(*named, explained, "higher", lines, proofs=(Proof(claim, able),))


def retrieval_measure(
    pictures: Mapping[str, np.ndarray], texts: np.ndarray, own: Mapping[str, Sequence[int]],
    groups: Mapping[str, Sequence[str]], name: str,
) -> Measure:  # fmt: skip
    """Rank of the right caption by a model that reads text; pictures by model and REAL."""
    named = ("retrieval", f"Draws what was asked (rank of the right caption by {name})")
    explained = (
        "The share of the other held-out captions that fit a picture better than the one it was asked with: "
        "0 is always right, 0.5 is chance."
    )
    lines = {
        key: mean_estimate(adherence.ranks(found, texts, own[key]), list(groups[key]))
        for key, found in pictures.items()
    }
    real = lines[REAL]
    lines[CHANCE] = Estimate(0.5, None, None, len(texts))
    able = real.high is not None and real.high < 0.5
    claim = "the model finds the caption of real icons clearly more often than chance"
    return Measure(*named, explained, "lower", lines, proofs=(Proof(claim, able),))


def copy_measure(generated: Mapping[str, Scored], real: Scored, planted: Scored) -> Measure:
    """Likely copies by model against held-out icons; planted: training icons themselves."""
    lines = {REAL: memorization.copy_rate(real)} | {
        name: memorization.copy_rate(scored) for name, scored in generated.items()
    }
    changes = {name: memorization.excess(scored, real) for name, scored in generated.items() if name != BASE}
    verdicts = {}
    for name, change in changes.items():
        if change.above_zero:
            verdicts[name] = Verdict("bad", "Returns training icons more often than chance would.")
        elif change.value > 0:
            verdicts[name] = Verdict("unsure", "A few pictures resemble training icons: look at them below.")
        else:
            verdicts[name] = Verdict("good", "No more likely copies than among icons it has never seen.")
    found = memorization.copy_rate(planted).value
    return Measure(
        "copies",
        "Copies of training icons (share of pictures that are likely a copy)",
        "Every picture is compared with all training icons, turned, mirrored and recoloured. Some real icons "
        "that nobody copied resemble one too: what counts is the excess over their share.",
        "lower",
        lines,
        changes,
        verdicts,
        (Proof("at least 9 of 10 training icons are recognised as copies of themselves", found >= 0.9),),
    )
