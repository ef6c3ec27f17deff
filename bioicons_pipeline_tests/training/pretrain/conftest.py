"""A recipe of a few steps and an icon set of a few drawings, in the layout of iconify's npm packages."""

import io
import json
import tarfile

import numpy as np
import pytest

from bioicons_pipeline.training.pretrain import card, flow_stages, icons, said, sets, stages, wording
from bioicons_pipeline.training.pretrain.recipe import (
    AutoencoderConfig,
    FlowConfig,
    GuidanceConfig,
    Recipe,
    RewordingConfig,
    TextConfig,
    WideningConfig,
)

SOURCE = sets.IconSetSource(
    "made-up", "1.0.0", "MIT", "Somebody", "https://example.org/made-up", "flat shapes"
)
WIDER = sets.IconSetSource(
    "made-wider", "1.0.0", "CC-BY-3.0", "Nobody", "https://example.org/made-wider", "flat shapes",
    colours=("currentColor",),
    manners=(("-outline", "lines of one colour"), ("-thin", ""), ("", "solid shapes")),
)  # fmt: skip
SHAPES = {
    "heart": '<path d="M16 28 L4 14 A6 6 0 0 1 16 8 A6 6 0 0 1 28 14 Z" fill="{}"/>',
    "disc": '<circle cx="16" cy="16" r="12" fill="{}"/>',
    "box": '<path d="M4 6h24v20H4z" fill="{}"/>',
    "drop-of-water": '<path d="M16 2 C26 16 26 28 16 30 C6 28 6 16 16 2" fill="{}"/>',
}
COLOURS = {"red": "#d22", "green": "#2a4", "blue": "#24c", "orange": "#f80"}


def package(folder, *, source=SOURCE, spdx="MIT", extra=None, colours=COLOURS):
    """A tarball as `npm pack` writes it, and the names of the icons in it."""
    bodies = {
        f"{colour}-{name}".strip("-"): {"body": body.format(value)}
        for colour, value in colours.items()
        for name, body in SHAPES.items()
    }
    bodies |= extra or {}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{source.name}-{source.version}.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, value in {
            "icons.json": {"prefix": source.name, "width": 32, "height": 32, "icons": bodies},
            "info.json": {"license": {"spdx": spdx}, "author": {"name": source.author}},
        }.items():
            data = json.dumps(value).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


_LOOP = {
    "mixed_precision": "no",
    "tensorboard": False,
    "keep_checkpoints": 1,
    "batch_size": 4,
    "ema_decay": 0.9,
}
TINY = Recipe(
    size=32,
    autoencoder=AutoencoderConfig(**_LOOP, steps=4, channels=(8, 8, 8, 8), checkpoint_every=2),
    text=TextConfig(**_LOOP, steps=3, width=64, layers=1, vocabulary=500),
    flow=FlowConfig(
        **_LOOP, steps=4, layers=1, single_layers=1, heads=2, checkpoint_every=2, t5_lengths=(8, 12)
    ),
    rewording=RewordingConfig(**_LOOP, steps=4, checkpoint_every=2),
    widening=WideningConfig(**_LOOP, steps=3, checkpoint_every=2),
    guidance=GuidanceConfig(**_LOOP, steps=2),
)


def hashed_embeddings(texts, progress):
    """A teacher without the package: the same text, the same direction."""
    random = np.stack([np.random.default_rng(list(text.encode())).normal(size=384) for text in texts])
    return (random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work folder with both packages fetched already; the teacher is the hashed one."""
    package(tmp_path / "work" / "npm")
    outline = {"disc-outline": {"body": '<path d="M4 6h24v20H4z" fill="none" stroke="currentColor"/>'}}
    package(
        tmp_path / "work" / "npm", source=WIDER, spdx=WIDER.spdx, colours={"": "currentColor"}, extra=outline
    )
    by_name = {source.name: source for source in (SOURCE, WIDER)}
    monkeypatch.setattr(sets, "_BY_NAME", by_name)
    for module in (stages, said):
        monkeypatch.setattr(module, "sentence_embeddings", hashed_embeddings)
    monkeypatch.setattr(wording, "ENGLISH_WORDS", 100)  # hashing them all would be slower than the training
    for module in (stages, flow_stages, card):
        monkeypatch.setattr(module, "SOURCES", (SOURCE,))
    monkeypatch.setattr(stages, "WIDER", (WIDER,))
    held = property(lambda icon: icon.key.endswith(("green-box", "orange-drop-of-water")))
    monkeypatch.setattr(icons.BaseIcon, "heldout", held)  # one in forty of sixteen may be none
    monkeypatch.setattr(icons, "subprocess", None)  # nothing may be fetched
    return tmp_path / "work"
