"""The base is loaded in pieces, one at a time, and only what is needed; quantized and compiled too."""

import shutil
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import encoders, prepare, run, validation
from bioicons_pipeline.training.adapter import add_adapter, trainable
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.files import WEIGHTS_NAME
from bioicons_pipeline.training.presets import preset


class Loaded(list):
    """Names of the pieces in the order in which they were loaded."""

    def __init__(self) -> None:
        self.alive: dict[str, weakref.ref] = {}

    def clear(self) -> None:
        """Another run begins: what the last one left for the collector is not its business."""
        self.alive.clear()
        super().clear()


@pytest.fixture
def loaded(monkeypatch):
    """What is loaded, in order; fails when a piece is loaded while another one is still in memory."""
    order = Loaded()

    def watch(name, original, model_of, module):
        def load(*arguments, **options):
            others = [other for other, ref in order.alive.items() if ref() is not None and other != name]
            assert not others, f"{others} in memory while {name} is loaded"
            made = original(*arguments, **options)
            order.append(name)
            order.alive[name] = weakref.ref(model_of(made))
            return made

        monkeypatch.setattr(module, original.__name__, load)

    watch("vae", encoders.load_vae, lambda model: model, encoders)
    watch("text", encoders.TextEncoder, lambda made: made.pipeline.text_encoder_2, encoders)
    watch("transformer", prepare.load_transformer, lambda model: model, prepare)
    return order


def test_vae_then_text_encoders_then_transformer_one_at_a_time(make_request, loaded):
    run.train(make_request(), quiet=True)
    assert loaded == ["vae", "text", "transformer"]


def test_a_run_whose_cache_is_complete_loads_neither_encoder(make_request, loaded):
    request = make_request()
    run.train(request, quiet=True)
    loaded.clear()
    run.train(request, quiet=True)  # the same again
    assert loaded == ["transformer"]
    loaded.clear()
    other = make_request(work=Path(request.work_dir).name, seed=5)  # another run on the same icons
    run.train(other, quiet=True)
    assert loaded == ["transformer"]


def test_a_resumed_run_loads_neither_encoder(make_request, loaded, monkeypatch):
    request = make_request()
    with monkeypatch.context() as patch:
        original = run.Trainer.train_step

        def stop(self, stream):
            if self.state.step == 5:
                raise KeyboardInterrupt
            original(self, stream)

        patch.setattr(run.Trainer, "train_step", stop)
        with pytest.raises(KeyboardInterrupt):
            run.train(request, quiet=True)
    loaded.clear()
    assert run.train(request, quiet=True).resumed_from in (4, 5)  # 5 where it was the best so far
    assert loaded == ["transformer"]


def test_only_what_is_missing_is_encoded(make_request, loaded):
    """Captions gone: the text encoders come back, the VAE does not; and the other way round."""
    request = make_request()
    run.train(request, quiet=True)
    for kind, expected in (("text", "text"), ("image", "vae")):
        shutil.rmtree(Path(request.work_dir) / "encodings" / kind)
        loaded.clear()
        run.train(request, quiet=True)
        assert loaded == [expected, "transformer"]


def test_validation_images_need_the_vae_and_no_text_encoder(make_request, loaded, monkeypatch):
    request = make_request(validation_every=5, validation_steps=1)
    drawn = []
    original = validation.load_vae
    monkeypatch.setattr(validation, "load_vae", lambda base: drawn.append(base) or original(base))
    run.train(request, quiet=True)
    assert loaded == ["vae", "text", "transformer"] and len(drawn) == 3
    loaded.clear()
    run.train(request, quiet=True)  # finished: nothing to draw
    assert loaded == ["transformer"] and len(drawn) == 3


# --- quantized ---


def step_of(transformer):
    """Gradients of one backward pass through an adapted transformer, by name."""
    add_adapter(transformer, preset("tiny", rank=4))
    for name, value in trainable(transformer).items():
        torch.nn.init.normal_(value, std=0.05, generator=torch.Generator().manual_seed(len(name)))
    generator = torch.Generator().manual_seed(0)
    config = transformer.config
    output = transformer(
        hidden_states=torch.randn(2, 16, 64, generator=generator),
        timestep=torch.tensor([0.3, 0.7]),
        guidance=torch.ones(2),
        pooled_projections=torch.randn(2, config.pooled_projection_dim, generator=generator),
        encoder_hidden_states=torch.randn(2, 8, config.joint_attention_dim, generator=generator),
        txt_ids=torch.zeros(8, 3),
        img_ids=torch.zeros(16, 3),
        return_dict=False,
    )[0]
    output.square().mean().backward()
    return output.detach(), {name: value.grad for name, value in trainable(transformer).items()}


def assert_near(quantized, plain, error):
    """Output and gradients are those of the plain base within `error`, and not the same."""
    (ours, our_gradients), (theirs, their_gradients) = step_of(quantized), step_of(plain)
    assert 0 < (ours - theirs).norm() < error * theirs.norm()
    assert our_gradients.keys() == their_gradients.keys()
    for name in ours_and_norms(our_gradients):
        difference = (our_gradients[name] - their_gradients[name]).norm()
        assert difference < 4 * error * their_gradients[name].norm() + 1e-6, name


def ours_and_norms(gradients):
    return [name for name, value in gradients.items() if value is not None and value.any()]


def test_an_int8_base_is_half_of_bf16_and_trains(mini_base):
    quantized = encoders.load_transformer(mini_base, torch.float32, "int8")
    weight = quantized.transformer_blocks[0].attn.to_q.weight
    assert type(weight).__name__ == "Int8Tensor" and weight.qdata.dtype == torch.int8
    assert_near(quantized, encoders.load_transformer(mini_base, torch.float32), 0.05)


def test_an_fp8_base_is_half_of_bf16_and_trains(mini_base):
    """Linear weights alone: biases, norms and the adapter stay as they are."""
    quantized = encoders.load_transformer(mini_base, torch.float32, "fp8")
    weight = quantized.transformer_blocks[0].attn.to_q.weight
    assert type(weight).__name__ == "Float8Tensor" and weight.qdata.dtype == torch.float8_e4m3fn
    assert weight.scale.shape == (weight.shape[0], 1)
    plain = [value for value in quantized.parameters() if not hasattr(value, "qdata")]
    assert plain and all(value.dtype == torch.float32 for value in plain)
    assert_near(quantized, encoders.load_transformer(mini_base, torch.float32), 0.1)
    assert all(value.dtype == torch.float32 for value in trainable(quantized).values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_a_whole_run_on_a_base_of_8_bits(make_request, kind):
    """Trained, evaluated, exported, and the adapter is fp32 all the same."""
    request = make_request(quantize=kind)
    outcome = run.train(request, quiet=True)
    plain = run.train(make_request(), quiet=True)
    assert outcome.version_id != plain.version_id
    assert outcome.heldout_loss_before == pytest.approx(plain.heldout_loss_before, rel=0.05)
    assert outcome.heldout_loss_before != plain.heldout_loss_before
    store = Store(request.store_root)
    written = load(store.read(store.version(outcome.version_id), WEIGHTS_NAME))
    assert sum(value.numel() for value in written.values()) == outcome.trainable_parameters
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in written.values())


def test_an_nf4_base_trains(mini_base):
    """diffusers wants a GPU to load it, so here its own replacement of the layers is done by hand; loading it
    through `load_transformer` has not been run without one."""
    import bitsandbytes

    quantized = encoders.load_transformer(mini_base, torch.float32)
    for name, layer in list(quantized.named_modules()):
        if isinstance(layer, torch.nn.Linear) and "blocks" in name and "norm" not in name:
            parent, _, last = name.rpartition(".")
            four = bitsandbytes.nn.Linear4bit(
                layer.in_features, layer.out_features, compute_dtype=torch.float32, quant_type="nf4"
            )
            four.load_state_dict(layer.state_dict())
            setattr(quantized.get_submodule(parent), last, four.to("cpu").requires_grad_(False))
    weight = quantized.transformer_blocks[0].attn.to_q.weight
    assert weight.dtype == torch.uint8 and weight.numel() == 32 * 32 // 2
    assert_near(quantized, encoders.load_transformer(mini_base, torch.float32), 0.25)


def test_what_diffusers_is_told():
    told = encoders.quantization("nf4", torch.bfloat16)
    assert (told.load_in_4bit, told.bnb_4bit_quant_type, told.bnb_4bit_use_double_quant) == (
        True,
        "nf4",
        True,
    )
    assert told.bnb_4bit_compute_dtype == torch.bfloat16


def test_quantized_without_the_library_is_one_sentence(monkeypatch):
    from bioicons_pipeline.training import extras

    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="torchao, which is not installed"):
        encoders.quantization("int8", torch.bfloat16)


# --- compiled ---


@pytest.mark.slow
def test_compiled_blocks_train_the_same(make_request):
    options = {"steps": 3, "warmup_steps": 0, "eval_every": 0}
    compiled = run.train(make_request(compile_blocks=True, **options), quiet=True)
    plain = run.train(make_request(**options), quiet=True)
    assert compiled.heldout_loss_after == pytest.approx(plain.heldout_loss_after, abs=1e-4)


def test_compile_is_asked_of_the_repeated_blocks_alone(make_request, monkeypatch):
    from diffusers import FluxTransformer2DModel

    asked = []
    monkeypatch.setattr(FluxTransformer2DModel, "compile_repeated_blocks", lambda self: asked.append(self))
    run.train(make_request(steps=1, warmup_steps=0), quiet=True)
    assert asked == []
    run.train(make_request(steps=1, warmup_steps=0, compile_blocks=True), quiet=True)
    assert len(asked) == 1
