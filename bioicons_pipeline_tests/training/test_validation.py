"""Validation images: drawn on schedule, the same noise each time, kept in the run and in the version."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import run, validation
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline_tests.training.test_resume import at_step, killed_run

OPTIONS = {"validation_every": 4, "validation_steps": 2, "validation_prompts": ("a red cell", "a green tube")}
IMAGES = {f"validation/step-{step:08d}/{number:02d}.png" for step in (0, 4, 8, 10) for number in (0, 1)}


@pytest.fixture(scope="module")
def finished(make_request):
    """(request, outcome, files of its version, events) of a run of ten steps with images."""
    request = make_request(work="drawn", **OPTIONS)
    events = []
    outcome = run.train(request, send=events.append, quiet=True)
    store = Store(request.store_root)
    version = store.version(outcome.version_id)
    return request, outcome, {e.path: store.read(version, e.path) for e in version.files}, events


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_the_schedule():
    config = TrainingConfig(steps=10, validation_every=4)
    assert validation.schedule(config) == [0, 4, 8, 10]
    assert validation.schedule(TrainingConfig(steps=8, validation_every=4)) == [0, 4, 8]
    assert validation.schedule(TrainingConfig()) == []


def test_images_are_in_the_run_folder_and_in_the_version(finished):
    request, _, files, events = finished
    (folder,) = (Path(request.work_dir) / "runs").iterdir()
    kept = {path.relative_to(folder).as_posix() for path in folder.glob("validation/**/*.png")}
    assert kept == IMAGES == {name for name in files if name.startswith("validation/step")}
    assert all((folder / name).read_bytes() == files[name] for name in IMAGES)
    assert json.loads(files["validation/prompts.json"]) == {
        "prompts": list(OPTIONS["validation_prompts"]),
        "seed": 0,
    }
    assert pixels(files["validation/step-00000000/00.png"]).shape == (32, 32, 3)
    with Image.open(io.BytesIO(files["validation.png"])) as sheet:
        assert sheet.width > 4 * 160 and sheet.height > 2 * 160
    told = [event for event in events if event["event"] == "validation"]
    assert [event["step"] for event in told] == [0, 4, 8, 10]
    assert all(Path(path).is_file() for event in told for path in event["images"])


def test_prompts_differ_and_training_changes_them(finished):
    _, _, files, _ = finished
    first, second = (pixels(files[f"validation/step-00000000/0{n}.png"]) for n in (0, 1))
    assert (first != second).any()
    assert (first != pixels(files["validation/step-00000010/00.png"])).any()


def test_images_are_those_of_the_sampler(finished, mini_folder):
    """Step 0 is the base alone: FluxPipeline with the same prompt, seed and settings draws the same."""
    from diffusers import FluxPipeline

    request, _, files, _ = finished
    pipeline = FluxPipeline.from_pretrained(str(mini_folder))
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline(
        "a green tube",
        height=32,
        width=32,
        num_inference_steps=2,
        guidance_scale=request.config.validation_guidance,
        max_sequence_length=request.config.t5_length,
        generator=torch.Generator().manual_seed(1),
    ).images[0]
    difference = np.abs(np.asarray(image).astype(int) - pixels(files["validation/step-00000000/01.png"]))
    assert difference.max() <= 1


def test_training_is_the_same_with_and_without(finished, make_request):
    """Drawing touches neither weights nor random state: the losses are equal bit by bit."""
    _, outcome, _, _ = finished
    plain = run.train(make_request(), quiet=True)
    assert plain.heldout_loss_after == outcome.heldout_loss_after
    assert plain.train_loss_after == outcome.train_loss_after
    assert not any(name.startswith("validation") for name in plain.files)


def test_a_killed_run_ends_with_the_same_version(finished, make_request):
    _, outcome, _, _ = finished
    other = make_request(work="drawn-killed", **OPTIONS)
    killed_run(other, at_step(7))
    assert run.train(other, quiet=True).version_id == outcome.version_id


def test_without_prompts_held_out_captions_are_drawn(icon_sets, mini_config):
    train, heldout = icon_sets
    config = mini_config.model_copy(update={"validation_every": 5})
    found = validation.prompts_of(config, train, heldout)
    assert set(found) == {icon.captions[0] for icon in heldout.icons}
    assert len(validation.prompts_of(config, train, type(heldout)((), ()))) == validation.PROMPTS
    assert validation.prompts_of(mini_config, train, heldout) == ()


@pytest.mark.slow
def test_the_running_mean_is_what_is_drawn(make_request):
    """With a mean of the weights the pictures show what will be exported."""
    options = {**OPTIONS, "validation_every": 10, "export": "last", "learning_rate": 0.05}
    plain = run.train(make_request(**options), quiet=True)
    request = make_request(**options, ema_decay=0.99)
    mean = run.train(request, quiet=True)
    store = Store(request.store_root)
    last = "validation/step-00000010/00.png"
    assert store.read(store.version(plain.version_id), last) != store.read(
        store.version(mean.version_id), last
    )
