"""Whole trainings on the mini pipeline: what is written, what is reported, what stops them."""

import contextlib
import io
import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import guards, loop, lora, objective, prepare, run
from bioicons_pipeline.training.errors import NonFiniteError, TrainingError
from bioicons_pipeline.training.evaluate import FixedNoise, fixed_noise_loss
from bioicons_pipeline.training.header import safetensors_metadata
from bioicons_pipeline.training.loop import learning_rate
from bioicons_pipeline_tests.training.making import commit_dataset, make_rows

FILES = {
    "pytorch_lora_weights.safetensors",
    "comfyui_lora.safetensors",
    "training_report.json",
    "loss_curve.png",
}


def below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(make_request):
    """(request, outcome) of a run of ten steps."""
    request = make_request(tensorboard=True)
    return request, run.train(request, quiet=True)


def test_a_training_of_two_steps_writes_exactly_these_files(make_request):
    request = make_request(steps=2, warmup_steps=0, caption_dropout=0.0, tensorboard=False, eval_every=1)
    store = Store(request.store_root)
    before = below(Path(request.store_root))
    outcome = run.train(request, quiet=True)
    version = store.version(outcome.version_id)
    assert {entry.path for entry in version.files} == FILES == set(outcome.files)
    added = below(Path(request.store_root)) - before
    hashes = {entry.sha256 for entry in version.files}
    assert added == {f"versions/{version.id}.json", *(f"blobs/{name[:2]}/{name}" for name in hashes)}
    work = Path(request.work_dir)
    checkpoint = {"weights.safetensors", "optimizer.safetensors", "rng.safetensors", "state.json"}
    (run_folder,) = (work / "runs").iterdir()
    kept = {path.name for path in (run_folder / "checkpoints").iterdir()}
    assert kept <= {"step-00000001", "step-00000002"} and "step-00000002" in kept
    assert below(run_folder) == {
        "lock",
        "identity.json",
        *(f"checkpoints/{step}/{name}" for step in kept for name in checkpoint),
    }
    encodings = below(work / "encodings")
    assert len([name for name in encodings if name.startswith("image/")]) == 15
    assert len([name for name in encodings if name.startswith("text/")]) == 12 * 2 + 3
    assert len(encodings) == 15 + 27
    assert below(work / "datasets" / request.dataset_version) == {
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/heldout-00000-of-00001.parquet",
    }
    assert {path.name for path in work.iterdir()} == {"runs", "encodings", "datasets"}


def test_report_and_outcome_agree(finished):
    request, outcome = finished
    store = Store(request.store_root)
    version = store.version(outcome.version_id)
    report = json.loads(store.read(version, "training_report.json"))
    assert report["config"] == request.config.identity()
    assert report["dataset"] == {
        "version": request.dataset_version,
        "train_icons": 12,
        "heldout_icons": 3,
        "captions": 24,
    }
    assert report["provenance"] == request.provenance
    assert len(report["step_losses"]) == report["steps"] == outcome.steps == 10
    assert [item["step"] for item in report["evaluations"]] == [0, 5, 10]
    chosen = next(item for item in report["evaluations"] if item["step"] == outcome.exported_step)
    assert report["train_loss_after"] == outcome.train_loss_after == chosen["train"]["loss"]
    assert report["heldout_loss_after"] == outcome.heldout_loss_after == chosen["heldout"]["loss"]
    assert report["heldout_loss_before"] == report["evaluations"][0]["heldout"]["loss"]
    assert report["base"]["fingerprint"] == outcome.base_fingerprint
    assert set(report["versions"]) == {"python", "torch", "diffusers", "transformers", "peft", "accelerate"}
    losses = [item["heldout"]["loss"] for item in report["evaluations"][1:]]
    assert chosen["heldout"]["loss"] == min(losses)
    assert outcome.seconds > 0 and outcome.icons == 12


def test_the_curve_is_a_picture(finished):
    request, outcome = finished
    store = Store(request.store_root)
    data = store.read(store.version(outcome.version_id), "loss_curve.png")
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (960, 540)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 50


def test_tensorboard_has_the_curves(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    request, outcome = finished
    (folder,) = (Path(request.work_dir) / "runs").iterdir()
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 11))
    assert [event.step for event in events.Scalars("fixed_noise/heldout")] == [0, 5, 10]
    assert events.Scalars("fixed_noise/train")[0].value == pytest.approx(outcome.train_loss_before)


def test_the_committed_adapter_is_the_trained_one(finished, mini_pipeline, mini_folder, tmp_path):
    """Loaded by FluxPipeline, the version's file gives the exported step's held-out loss."""
    from diffusers import FluxPipeline

    request, outcome = finished
    store = Store(request.store_root)
    folder = store.checkout(store.version(outcome.version_id), tmp_path / "weights")
    pipeline = FluxPipeline.from_pretrained(str(mini_folder))
    pipeline.load_lora_weights(str(folder), weight_name="pytorch_lora_weights.safetensors")
    assert request.config.alpha != request.config.rank
    for name in ("pytorch_lora_weights.safetensors", "comfyui_lora.safetensors"):
        with safe_open(folder / name, "pt") as file:
            header = file.metadata()
        assert header["dataset_version"] == request.dataset_version
        assert header["base_fingerprint"] == outcome.base_fingerprint
        assert header["upstream_commit"] == "f3f18b86" and header["trigger"] == "bioicons style"
        assert json.loads(header["licence_mix"]) == {"CC0-1.0": 15}
        assert json.loads(header["config"]) == request.config.identity()
        assert header["steps"] == str(outcome.exported_step)
    loss = evaluate_with(pipeline.transformer, request, "heldout")
    assert loss == pytest.approx(outcome.heldout_loss_after, abs=1e-6)
    pipeline.disable_lora()
    assert evaluate_with(pipeline.transformer, request, "heldout") == pytest.approx(
        outcome.heldout_loss_before, abs=1e-6
    )


def evaluate_with(transformer, request, split):
    base = run.resolve_base(request.base, "unused")
    train, heldout = run.open_dataset(Path(request.work_dir) / "datasets" / request.dataset_version)
    config = request.config
    fixed = FixedNoise.choose(
        heldout if split == "heldout" else train, config.eval_icons, config.eval_sigmas, config.seed
    )
    cache = prepare.EncodingCache(
        prepare.request_cache(request),
        f"{base.fingerprint}/torch.float32",
        config.resolution,
        config.t5_length,
    )
    return fixed_noise_loss(
        transformer,
        fixed,
        cache,
        scaling=prepare.latent_scaling(base),
        guidance=1.0,
        batch_size=1,
        device=torch.device("cpu"),
        autocast=contextlib.nullcontext(),
        step=0,
    )["loss"]


def test_the_same_training_gives_the_same_version(finished, make_request):
    _, outcome = finished
    again = run.train(make_request(tensorboard=False), quiet=True)
    assert again.version_id == outcome.version_id
    assert run.train(make_request(seed=1), quiet=True).version_id != outcome.version_id


def test_without_held_out_icons_their_loss_is_null_and_the_last_step_is_exported(make_request):
    request = make_request(steps=4, warmup_steps=0, eval_every=2)
    version = commit_dataset(Store(request.store_root), make_rows(3, size=32))
    outcome = run.train(request.model_copy(update={"dataset_version": version}), quiet=True)
    assert outcome.heldout_loss_before is None and outcome.heldout_loss_after is None
    assert outcome.heldout_icons == 0 and outcome.exported_step == 4


def test_a_dora_has_no_comfyui_file_and_says_what_it_is(make_request):
    request = make_request(dora=True, rslora=True, steps=1, warmup_steps=0, eval_every=0)
    outcome = run.train(request, quiet=True)
    assert set(outcome.files) == FILES - {"comfyui_lora.safetensors"}
    store = Store(request.store_root)
    data = store.read(store.version(outcome.version_id), "pytorch_lora_weights.safetensors")
    assert safetensors_metadata(data)["adapter"] == "rsLoRA + DoRA"


def test_export_last(make_request):
    outcome = run.train(make_request(export="last"), quiet=True)
    assert outcome.exported_step == 10


def test_the_fixed_noise_loss_falls(make_request):
    """What the whole room is for: after 60 steps the same question is answered better."""
    request = make_request(
        steps=60, eval_every=0, rank=16, alpha=32.0, batch_size=4, checkpoint_every=60, learning_rate=1e-2
    )
    outcome = run.train(request, quiet=True)
    assert outcome.train_loss_after < 0.9 * outcome.train_loss_before
    assert outcome.heldout_loss_after < 0.95 * outcome.heldout_loss_before


# --- precision ---


def trainer_of(request, tmp_path) -> lora.Trainer:
    """The trainer of `request`, ready for its first step."""
    from bioicons_pipeline.training.progress import Display

    work = Path(request.work_dir)
    base = run.resolve_base(request.base, work)
    train, heldout = run.open_dataset(
        prepare.checkout_dataset(request.store_root, request.dataset_version, work)
    )
    return prepare.prepare(
        request,
        base,
        train,
        heldout,
        {},
        tmp_path / "run",
        run.make_accelerator(request.config),
        Display(steps=request.config.steps, quiet=True),
    )


@pytest.fixture
def fresh_accelerate():
    """accelerate keeps one precision per process; this test wants another."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_the_adapter_stays_fp32_under_bf16_autocast(fresh_accelerate, make_request, tmp_path):
    """Real steps under bf16: parameters, gradients and Adam's moments are fp32, the matrix products bf16."""
    trainer = trainer_of(make_request(mixed_precision="bf16", steps=4, warmup_steps=0), tmp_path)
    seen = set()
    trainer.transformer.proj_out.register_forward_hook(lambda module, args, out: seen.add(out.dtype))
    original, gradients = trainer.optimizer.step, set()

    def step():
        gradients.update(value.grad.dtype for value in trainer.parameters.values())
        gradients.add(None if trainer.transformer.proj_out.weight.grad is None else "base has a gradient")
        original()

    trainer.optimizer.step = step
    before = {name: value.detach().clone() for name, value in trainer.parameters.items()}
    trainer.fit()
    assert seen == {torch.bfloat16}
    assert gradients == {torch.float32, None}
    assert {value.dtype for value in trainer.parameters.values()} == {torch.float32}
    moments = trainer.optimizer.state_dict()["state"].values()
    assert {entry["exp_avg"].dtype for entry in moments} == {torch.float32}
    assert all(not torch.equal(before[name], value) for name, value in trainer.parameters.items())
    losses = trainer.losses(trainer.source[0])
    assert losses.dtype == torch.float32


def test_base_weights_have_no_gradient_and_do_not_move(make_request, tmp_path):
    trainer = trainer_of(make_request(steps=3, warmup_steps=0), tmp_path)
    base = {name: value for name, value in trainer.transformer.named_parameters() if ".lora_" not in name}
    before = {name: value.detach().clone() for name, value in base.items()}
    stream = loop.batches(trainer.source, 0, 3, 0)
    trainer.losses(next(stream)).mean().backward()
    assert all(value.grad is None for value in base.values())
    assert all(value.grad is not None for value in trainer.parameters.values())
    trainer.train_step(stream)
    assert all(torch.equal(before[name], value) for name, value in base.items())


def test_gradient_checkpointing_changes_nothing_but_memory(make_request, tmp_path):
    plain = trainer_of(make_request(), tmp_path)
    saving = trainer_of(make_request(gradient_checkpointing=True), tmp_path)
    gradients = []
    for trainer in (plain, saving):
        trainer.losses(trainer.source[0]).mean().backward()
        gradients.append([value.grad for value in trainer.parameters.values()])
    assert saving.transformer.is_gradient_checkpointing
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_accumulated_batches_equal_one_large_batch(make_request, tmp_path):
    large = trainer_of(make_request(batch_size=4, accumulation=1), tmp_path)
    small = trainer_of(make_request(batch_size=2, accumulation=2), tmp_path)
    for trainer in (large, small):
        steps = trainer.config.accumulation
        trainer.train_step(loop.batches(trainer.source, 0, steps, 0))
    assert large.state.losses[0] == pytest.approx(small.state.losses[0], abs=1e-6)
    assert large.state.grad_norms[0] == pytest.approx(small.state.grad_norms[0], rel=1e-4)


def test_gradients_are_clipped(make_request, tmp_path):
    trainer = trainer_of(make_request(max_grad_norm=1e-3), tmp_path)
    seen = []
    original = trainer.optimizer.step
    trainer.optimizer.step = lambda: (
        seen.append(math.sqrt(sum(float(v.grad.square().sum()) for v in trainer.parameters.values()))),
        original(),
    )
    trainer.train_step(loop.batches(trainer.source, 0, 1, 0))
    assert seen[0] == pytest.approx(1e-3, rel=1e-3) and trainer.state.grad_norms[0] > 1e-3


def test_learning_rate_schedules(mini_config):
    def rates(**options):
        config = mini_config.model_copy(
            update={"steps": 10, "warmup_steps": 4, "learning_rate": 1.0, **options}
        )
        return [learning_rate(config, step) for step in range(10)]

    assert rates(schedule="constant") == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1])
    assert rates(schedule="linear") == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    )
    cosine = rates(schedule="cosine")
    assert cosine[4] == 1 and cosine[7] == pytest.approx(0.5) and 0 < cosine[9] < 0.1


# --- what stops a run ---


def test_a_loss_that_is_not_finite_stops_with_step_icons_and_sigma(make_request, monkeypatch):
    request = make_request(eval_every=0)
    original = objective.flow_matching_loss
    calls = []

    def poisoned(transformer, x, noise, sigma, text, guidance):
        losses = original(transformer, x, noise, sigma, text, guidance)
        calls.append(sigma)
        return (
            torch.where(torch.arange(len(losses)) == 1, losses * float("nan"), losses)
            if len(calls) == 3
            else losses
        )

    monkeypatch.setattr(lora, "flow_matching_loss", poisoned)
    with pytest.raises(NonFiniteError) as caught:
        run.train(request, quiet=True)
    error = caught.value
    plan = lora.SamplePlan(
        run.open_dataset(Path(request.work_dir) / "datasets" / request.dataset_version)[0].icons,
        seed=request.config.seed,
        caption_dropout=request.config.caption_dropout,
    )
    assert error.step == 3 and error.icon_ids == (plan[2 * 2 + 1].icon.icon_id,)
    assert error.sigmas == (pytest.approx(float(calls[2][1])),)
    assert error.icon_ids[0] in str(error) and "step 3" in str(error) and "σ=" in str(error)
    (folder,) = (Path(request.work_dir) / "runs").iterdir()
    assert [path.name for path in run.checkpoints.checkpoints(folder / "checkpoints")] == ["step-00000002"]


def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_spoilt(make_request, tmp_path):
    trainer = trainer_of(make_request(), tmp_path)
    name, value = next(iter(trainer.parameters.items()))
    value.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NonFiniteError, match="gradient is not finite at step 1"):
        trainer.train_step(loop.batches(trainer.source, 0, 1, 0))
    assert all(torch.isfinite(value).all() for value in trainer.parameters.values()), name


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_says_which_setting_to_change(error, make_request, monkeypatch):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(prepare.Trainer, "train_step", fail)
    with pytest.raises(
        TrainingError, match="while training: set batch_size to 1 and accumulation to 2"
    ) as caught:
        run.train(make_request(), quiet=True)
    assert "gradient_checkpointing to true" in str(caught.value)


def test_memory_advice_offers_what_is_left(mini_config):
    advice = guards.memory_advice(
        mini_config.model_copy(update={"batch_size": 1, "gradient_checkpointing": True})
    )
    assert advice == "use a machine with more memory"
    assert "resolution to 512" in guards.memory_advice(mini_config.model_copy(update={"resolution": 1024}))


def test_other_runtime_errors_are_not_disguised(make_request, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr(prepare.Trainer, "train_step", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        run.train(make_request(), quiet=True)


def test_a_base_with_a_damaged_file_is_one_sentence(make_request, mini_folder, tmp_path):
    import shutil

    base = tmp_path / "base"
    shutil.copytree(mini_folder, base)
    (base / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(
        TrainingError, match=r"cannot be read \(vae/.*safetensors is damaged\): download or build it again"
    ):
        run.train(make_request().model_copy(update={"base": str(base)}), quiet=True)


# --- what is shown ---


def test_events_and_lines(make_request, capfd):
    events = []
    run.train(make_request(), send=events.append)
    kinds = {event["event"] for event in events}
    assert kinds == {"note", "phase", "step", "evaluation"}
    assert [event["step"] for event in events if event["event"] == "evaluation"] == [0, 5, 10]
    last = [event for event in events if event["event"] == "step"][-1]
    assert last["step"] == last["steps"] == 10 and last["loss"] > 0 and last["memory"]
    captured = capfd.readouterr()
    assert "learning_rate = 0.005" in captured.err and "rank = 4" in captured.err
    assert "training 10/10" in captured.err and "loss" in captured.err and "GiB" in captured.err
    assert "fixed-noise loss train" in captured.err and captured.out == ""
