"""Adapters trained for real, once on their captions and once on captions dealt out at random: the evaluation
tells them apart by the use that they make of words."""

import hashlib

import numpy as np
import pytest

from bioicons_pipeline.evaluation.heldout import LossFigures, figures
from bioicons_pipeline.evaluation.losses import encode, losses_of
from bioicons_pipeline.generation.sampler import load_pipeline
from bioicons_pipeline.store import Store
from bioicons_pipeline.training.base_models import resolve_base
from bioicons_pipeline.training.data import open_dataset
from bioicons_pipeline.training.files import WEIGHTS_NAME
from bioicons_pipeline.training.prepare import checkout_dataset
from bioicons_pipeline.training.presets import preset
from bioicons_pipeline.training.request import TrainingRequest
from bioicons_pipeline.training.run import train
from bioicons_pipeline.training.tiny_base import build_tiny_base
from bioicons_pipeline_tests.training.conftest import MINI
from bioicons_pipeline_tests.training.making import commit_dataset, make_rows


def said(rows: list[dict]) -> list[dict]:
    """The rows with captions that say colour and shape, and nothing that only one icon has."""
    plain = [row["caption"].split(" number")[0] for row in rows]
    return [{**row, "caption": text, "captions": [text]} for row, text in zip(rows, plain, strict=True)]


def dealt(rows: list[dict]) -> list[dict]:
    """The same pictures with each other's captions."""
    order = np.random.default_rng(0).permutation(len(rows))
    return [
        {**row, "caption": rows[other]["caption"], "captions": rows[other]["captions"]}
        for row, other in zip(rows, order, strict=True)
    ]


def compared(base_name: str, root, size: int, **config) -> dict[str, LossFigures]:
    """Figures of the adapters `own` and `shuffled` on as many held-out icons."""
    store, base = Store(root / "store"), resolve_base(base_name, root)
    rows, heldout = said(make_rows(36, size=size)), said(make_rows(36, size=size, start=36))
    versions = [commit_dataset(store, trained, heldout) for trained in (rows, dealt(rows))]
    adapters = []
    for version in versions:
        settings = preset(
            "tiny", resolution=size, rank=16, alpha=16.0, batch_size=8, warmup_steps=5, t5_length=40,
            eval_every=0, eval_icons=2, eval_sigmas=(0.5,), tensorboard=False, caption_dropout=0.0, **config,
        )  # fmt: skip
        request = TrainingRequest(
            store_root=str(root / "store"), dataset_version=version, base=base_name, config=settings,
            partition="Cell_types", work_dir=str(root / "work"),
        )  # fmt: skip
        outcome = train(request, quiet=True)
        folder = root / outcome.version_id
        store.checkout(store.version(outcome.version_id), folder)
        adapters.append(folder / WEIGHTS_NAME)
    _, icons = open_dataset(checkout_dataset(str(root / "store"), versions[0], root / "work"))
    families = [hashlib.sha256(icon.captions[0].encode()).hexdigest() for icon in icons.icons]
    ready = encode(
        base, icons, families, root / "encodings", resolution=size, t5_length=40, progress=lambda *_: None
    )
    pipeline = load_pipeline(base, adapters)
    scales = {"own": (1.0, 0.0), "shuffled": (0.0, 1.0)}
    return {
        name: figures(losses_of(pipeline, scale, ready), None, families, ["Cell_types"] * len(families))
        for name, scale in scales.items()
    }


def test_a_lora_of_shuffled_captions_makes_no_use_of_words(tmp_path):
    """On a base of random weights: what its adapters know of words they learnt here."""
    folder = build_tiny_base(tmp_path / "bases", MINI)
    found = compared(str(folder), tmp_path, 32, steps=600, learning_rate=1e-2)
    own, shuffled = found["own"].words, found["shuffled"].words
    assert own.low > 0, found
    assert shuffled.value < own.value / 2 and shuffled.low < 0, found


@pytest.mark.slow
def test_a_lora_of_shuffled_captions_unlearns_what_flux_nano_knew_of_words(tmp_path):
    """Its base follows words before: shuffled captions cost more than half of that, own ones add to it."""
    found = compared("flux-nano", tmp_path, 64, steps=60, learning_rate=2e-3)
    own, shuffled = found["own"], found["shuffled"]
    assert shuffled.words.value < 0.75 * own.words.value, found
    assert own.mean.value < shuffled.mean.value, found
