"""One evaluation from icons and adapters to figures: sample, measure, gather.

Belongs here: the order of the steps. Does not belong here: figures (`figures`), the page (`report`), where
datasets and adapters lie (orchestration).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.evaluation import figures, memorization
from bioicons_pipeline.evaluation.adherence import words_of
from bioicons_pipeline.evaluation.embedding import Embedder
from bioicons_pipeline.evaluation.figures import Gallery
from bioicons_pipeline.evaluation.icons import RealIcon
from bioicons_pipeline.evaluation.measure import BASE, GRAIN, REAL, RESERVED, Measure
from bioicons_pipeline.evaluation.memorization import PromptCopies, Scored
from bioicons_pipeline.evaluation.records import Evaluation, Task, facts_of, grid_rows
from bioicons_pipeline.evaluation.vectorizability import grainy, vector_facts, vector_measures
from bioicons_pipeline.generation.copies import CopyIndex, CopyScore
from bioicons_pipeline.generation.sampler import load_pipeline, sample
from bioicons_pipeline.training.data import families_in_turn

if TYPE_CHECKING:
    from bioicons_pipeline.evaluation.losses import HeldOut
    from bioicons_pipeline.generation.adapters import Adapter

MOST_HELDOUT = 256
"""Held-out icons that losses are measured on; of more, so many are chosen, families in turn."""
MOST_TRAIN = 800
"""Training icons that style and words are compared with, likewise."""
MOST_VECTORS = 12
"""Pictures of each set that become vector drawings: one takes a second."""
GRAINY = 3
"""Real icons that are vectorised with a fault planted."""
PLANTED = 12
"""Training icons that the copy score must recognise."""
Progress = Callable[[str, int, int], None]


class EvaluationError(BioiconsError):
    """There is nothing to evaluate, or nothing to evaluate it on."""


class NothingHeldOutError(EvaluationError):
    """The dataset has no held-out icon."""


def evaluate(task: Task, progress: Progress) -> Evaluation:
    """Compare the adapters of `task` with their base.

    progress: called with a phase and how much of it is done.

    Raises:
        EvaluationError: no adapter, or one twice.
        NothingHeldOutError: there is no icon that no adapter was trained on.
        BioiconsError: an adapter does not load, an icon cannot be read, a loss is not finite.
    """
    if not task.adapters:
        raise EvaluationError("There is no LoRA to evaluate: name one, or train one.")
    if not task.heldout:
        raise NothingHeldOutError(
            "No icon is held out of this dataset: take the library-wide LoRA, or a larger category."
        )
    scales = _scales(task.adapters)
    heldout = families_in_turn(task.heldout, MOST_HELDOUT)
    ready = _encoded(task, heldout, progress)
    pipeline = load_pipeline(task.base, [adapter.path for adapter in task.adapters])
    losses = _losses(pipeline, scales, ready, task.seed, progress)
    found, measures = figures.loss_measures(
        losses, [icon.family_id for icon in heldout], [icon.category for icon in heldout]
    )
    prompts = [heldout[number % len(heldout)] for number in range(task.count)]
    drawn = _drawn(pipeline, scales, prompts, task, progress)
    del pipeline
    train = families_in_turn(task.train, MOST_TRAIN)
    gallery = _gallery(heldout, train, prompts, drawn, task.settings.size)
    progress("style", 0, 1)
    style, features = figures.style_measure(gallery)
    words = figures.word_measure(
        gallery, [words_of(icon.name) for icon in prompts], [words_of(icon.name) for icon in train]
    )
    progress("style", 1, 1)
    copied, by_prompt = _copies(gallery, task.copies, progress)
    measures += [style, words, *_embedded(task.embedder, gallery, heldout, prompts), copied]
    measures += _vectors(gallery, progress)
    models = tuple(drawn)
    return Evaluation(
        models=models,
        measures=tuple(measures),
        losses=found,
        features=figures.feature_table(features, models),
        copies=by_prompt,
        rows=grid_rows(heldout, drawn, task.settings.size),
        facts=facts_of(task, heldout, train),
    )


def _gallery(
    heldout: Sequence[RealIcon],
    train: Sequence[RealIcon],
    prompts: Sequence[RealIcon],
    drawn: Mapping[str, Sequence[Image.Image]],
    size: int,
) -> Gallery:
    return Gallery(
        tuple(icon.caption for icon in prompts),
        tuple(icon.family_id for icon in prompts),
        drawn,
        ([icon.image(size) for icon in heldout], tuple(icon.family_id for icon in heldout)),
        ([icon.image(size) for icon in train], tuple(icon.family_id for icon in train)),
    )


def labels(adapters: Sequence[Adapter]) -> list[str]:
    """A name for each adapter, all different: its own, with its scale or digest where that tells it apart.

    Raises:
        EvaluationError: one is given twice at the same scale.
    """
    if len({(adapter.sha256, adapter.scale) for adapter in adapters}) < len(adapters):
        raise EvaluationError("A LoRA is given twice at the same scale: give each once.")
    scaled = [f"{one.name} × {one.scale:g}" if one.scale != 1 else one.name for one in adapters]
    return [
        f"{label} ({one.sha256[:8]})" if scaled.count(label) > 1 or label in RESERVED else label
        for label, one in zip(scaled, adapters, strict=True)
    ]


def _scales(adapters: Sequence[Adapter]) -> dict[str, tuple[float, ...]]:
    """By model the strengths of all loaded adapters: one of them, all others at 0; none for the base."""
    return {BASE: ()} | {
        label: tuple(one.scale if place == other else 0.0 for other in range(len(adapters)))
        for place, (label, one) in enumerate(zip(labels(adapters), adapters, strict=True))
    }


def _encoded(task: Task, heldout: list[RealIcon], progress: Progress) -> HeldOut:
    from bioicons_pipeline.evaluation.icons import subset
    from bioicons_pipeline.evaluation.losses import encode

    return encode(
        task.base,
        subset(task.heldout_set, heldout),
        [icon.family_id for icon in heldout],
        task.encodings,
        resolution=task.settings.size,
        t5_length=task.settings.max_sequence_length,
        progress=lambda phase, done, total: progress(f"encoding {phase}", done, total),
    )


def _losses(
    pipeline: Any, scales: Mapping[str, tuple[float, ...]], ready: HeldOut, seed: int, progress: Progress
) -> dict[str, Any]:
    from bioicons_pipeline.evaluation.losses import losses_of

    return {
        name: losses_of(
            pipeline,
            scale,
            ready,
            seed=seed,
            progress=lambda done, total, name=name: progress(f"held-out loss, {name}", done, total),
        )
        for name, scale in scales.items()
    }


def _drawn(
    pipeline: Any,
    scales: Mapping[str, tuple[float, ...]],
    prompts: Sequence[RealIcon],
    task: Task,
    progress: Progress,
) -> dict[str, list[Image.Image]]:
    """Pictures by model, from the same prompts and seeds."""
    seeds = [task.seed + number for number in range(len(prompts))]
    captions = [icon.caption for icon in prompts]
    return {
        name: sample(
            pipeline,
            captions,
            seeds,
            task.settings,
            scales=scale,
            progress=lambda done, total, name=name: progress(f"drawing, {name}", done, total),
        )
        for name, scale in scales.items()
    }


def _copies(
    gallery: Gallery, index: CopyIndex, progress: Progress
) -> tuple[Measure, dict[str, tuple[PromptCopies, ...]]]:
    sets: dict[str, tuple[Sequence[Image.Image], Sequence[str]]] = {
        name: (pictures, gallery.groups) for name, pictures in gallery.drawn.items()
    }
    sets[REAL] = gallery.heldout
    sets["planted"] = (gallery.train[0][:PLANTED], gallery.train[1][:PLANTED])
    total, done = sum(len(pictures) for pictures, _ in sets.values()), 0
    scored: dict[str, Scored] = {}
    for name, (pictures, groups) in sets.items():
        scores: list[CopyScore] = []
        for picture in pictures:
            scores.append(index.score(picture))
            done += 1
            progress("looking for copies", done, total)
        scored[name] = Scored(tuple(scores), tuple(groups))
    generated = {name: scored[name] for name in gallery.drawn}
    by_prompt = {name: memorization.by_prompt(gallery.prompts, scored[name].scores) for name in gallery.loras}
    return figures.copy_measure(generated, scored[REAL], scored["planted"]), by_prompt


def _embedded(
    embedder: Embedder | None, gallery: Gallery, heldout: Sequence[RealIcon], prompts: Sequence[RealIcon]
) -> list[Measure]:
    if embedder is None:
        return []
    vectors = {name: embedder.pictures(pictures) for name, pictures in gallery.drawn.items()}
    vectors |= {REAL: embedder.pictures(gallery.heldout[0]), "train": embedder.pictures(gallery.train[0])}
    noise = embedder.pictures(figures.noise_pictures())
    found = [figures.embedding_measure(vectors, gallery, noise, embedder.name)]
    if embedder.reads_text and len(heldout) > 1:
        place = {icon.icon_id: number for number, icon in enumerate(heldout)}
        own = {name: [place[icon.icon_id] for icon in prompts] for name in gallery.drawn}
        own[REAL] = list(range(len(heldout)))
        groups = dict.fromkeys(gallery.drawn, gallery.groups) | {REAL: gallery.heldout[1]}
        texts = embedder.texts([icon.caption for icon in heldout])
        read = {name: vectors[name] for name in (*gallery.drawn, REAL)}
        found.append(figures.retrieval_measure(read, texts, own, groups, embedder.name))
    return found


def _vectors(gallery: Gallery, progress: Progress) -> list[Measure]:
    sets: dict[str, tuple[Sequence[Image.Image], Sequence[str]]] = {
        REAL: gallery.heldout,
        **{name: (pictures, gallery.groups) for name, pictures in gallery.drawn.items()},
        GRAIN: (
            [grainy(picture) for picture in gallery.heldout[0][:GRAINY]],
            gallery.heldout[1][:GRAINY],
        ),
    }
    facts = {
        name: vector_facts(
            pictures[:MOST_VECTORS],
            lambda done, total, name=name: progress(f"vectorising, {name}", done, total),
        )
        for name, (pictures, _) in sets.items()
    }
    groups = {name: list(found)[:MOST_VECTORS] for name, (_, found) in sets.items()}
    return vector_measures(facts, groups)
