"""From a package to a folder that FluxPipeline loads; resuming; what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from bioicons_pipeline.captioning.picture import COLOURS
from bioicons_pipeline.training.base_models import check_base, resolve_base
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.loop import Loop
from bioicons_pipeline.training.objective import flow_matching_loss
from bioicons_pipeline.training.pretrain import captions, flow_stages, icons, said, sets, stages
from bioicons_pipeline.training.pretrain.assemble import assemble
from bioicons_pipeline.training.pretrain.autoencoder import psnr
from bioicons_pipeline.training.pretrain.flow import EVALUATED_SIGMAS
from bioicons_pipeline.training.pretrain.recipe import Recipe
from bioicons_pipeline_tests.training.pretrain.conftest import SOURCE, TINY, package


def weights(trained):
    parts = {"transformer": trained.transformer, "clip": trained.clip, "t5": trained.t5, "vae": trained.vae}
    return {
        f"{part}.{name}": value.clone()
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }


def test_the_whole_recipe_makes_a_base_that_samples(work, tmp_path):
    """The folder is in diffusers layout, complete, with card and credits, and draws from a prompt."""
    from diffusers import FluxPipeline

    trained = stages.train_all(TINY, work, quiet=True)
    assert {stage: state.step for stage, state in trained.histories.items()} == {
        "text": 3, "autoencoder": 4, "flow": 4, "rewording": 4, "widening": 3, "guidance": 2,
    }  # fmt: skip
    for state in trained.histories.values():
        assert len(state.losses) == state.step and np.isfinite(state.losses).all()
    folder = assemble(trained, TINY, tmp_path / "base")
    check_base(str(folder))
    assert resolve_base(str(folder), tmp_path).fingerprint.startswith("sha256:")
    card = (folder / "README.md").read_text()
    assert "made-up" in card and "Somebody" in card and "MIT" in card and "20 icons" in card
    assert "made-wider" in card and "Nobody" in card and "CC-BY-3.0" in card
    assert list(json.loads((folder / "history.json").read_text())) == list(trained.histories)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    pipeline = FluxPipeline.from_pretrained(str(folder), torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline(
        "a red heart", height=32, width=32, num_inference_steps=2, max_sequence_length=8
    ).images[0]
    assert picture.size == (32, 32)
    # bf16 on disk, and the autoencoder's scale is of its own latents
    stored = {value.dtype for value in pipeline.transformer.state_dict().values()}
    assert stored == {torch.float32} and pipeline.vae.config.scaling_factor != 1.0


def test_going_on_from_a_base_trains_the_last_two_stages_of_it(work, tmp_path):
    """All else is the base's, its history too; the same as from nothing, but for bf16 on the way."""
    trained = stages.train_all(TINY, work, quiet=True)
    before, histories = weights(trained), trained.histories
    base = assemble(trained, TINY, tmp_path / "base")
    on = stages.train_on(TINY, work, base, quiet=True)
    assert list(on.histories) == ["widening", "guidance"]
    after = weights(on)
    moved = {name for name in before if not torch.equal(after[name], before[name].bfloat16().float())}
    assert moved and not [name for name in moved if name.startswith("vae")]
    again = assemble(on, TINY, tmp_path / "again")
    written = json.loads((again / "history.json").read_text())
    assert set(written) == set(histories)
    # another base, same work folder: nothing of the first one is taken
    changed = stages.train_on(TINY, work, again, quiet=True)
    assert len(list((work / "widening").iterdir())) == 3
    assert weights(changed).keys() == after.keys()
    (again / "history.json").unlink()
    with pytest.raises(TrainingError, match=r"no history\.json"):
        stages.train_on(TINY, work, again, quiet=True)
    assert written["flow"]["loss"] == pytest.approx(histories["flow"].losses, abs=1e-4)


def test_more_sets_join_late_and_their_colours_are_told(work, monkeypatch):
    """The flow stage has the first set only; `widening` both, and doubts names but not colours."""
    seen = {}
    original = flow_stages.FlowLoop.fit

    def look(self):
        batches = [self.source[number] for number in range(60)]
        seen[self.identity["stage"]] = [
            pair for batch in batches for pair in zip(batch.keys, batch.captions, strict=True)
        ]
        original(self)

    monkeypatch.setattr(flow_stages.FlowLoop, "fit", look)
    trained = stages.train_all(TINY, work, quiet=True)
    of = {
        stage: np.mean([key.startswith("made-wider/") for key, _ in pairs]) for stage, pairs in seen.items()
    }
    assert of["flow"] == of["rewording"] == of["guidance"] == 0 and 0.4 < of["widening"] < 0.6
    captions_by_key = {icon.icon_id: icon.captions for icon in trained.captions}
    assert "made-wider/disc-thin" not in captions_by_key
    told = [(key, text) for key, text in seen["widening"] if text.count(", ") >= 2]
    assert len(told) > 60
    own = np.mean([key.split("/")[1].split("-")[-1] in text for key, text in told])
    assert 0.3 < own < 0.9
    painted = [set(text.split(", ")[1].split()) & set(COLOURS) for key, text in told if key.endswith("/disc")]
    named = [frozenset(words) for words in painted if words]
    assert len(set(named)) == 1 and len(named) > len(painted) / 2


def test_a_stopped_training_ends_where_an_unbroken_one_does(work, tmp_path, monkeypatch):
    """Interrupted within a stage and started again: the same weights, bit by bit."""
    whole = weights(stages.train_all(TINY, work, quiet=True))
    broken = tmp_path / "broken"
    shutil.copytree(work / "npm", broken / "npm")
    original, stopped = Loop.train_step, []

    def interrupted(self, stream):
        stage = self.identity["stage"]
        if stage in {"autoencoder", "flow", "rewording", "widening"} - set(stopped) and self.state.step == 2:
            stopped.append(stage)
            raise KeyboardInterrupt
        original(self, stream)

    monkeypatch.setattr(Loop, "train_step", interrupted)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            stages.train_all(TINY, broken, quiet=True)
    again = weights(stages.train_all(TINY, broken, quiet=True))
    assert stopped == ["autoencoder", "flow", "rewording", "widening"]
    assert whole.keys() == again.keys()
    assert [name for name in whole if not torch.equal(whole[name], again[name])] == []


def test_a_recipe_without_a_stage_leaves_it_out(work, tmp_path):
    """The next one goes on from the flow stage; what it made after a rewording is not taken for that."""
    stages.train_all(TINY, work, quiet=True)
    without = TINY.model_copy(update={"rewording": None})
    trained = stages.train_all(without, work, quiet=True)
    assert list(trained.histories) == ["text", "autoencoder", "flow", "widening", "guidance"]
    assert len(list((work / "flow").iterdir())) == 1 and len(list((work / "widening").iterdir())) == 2
    start, end = (trained.histories[stage].evaluations for stage in ("widening", "flow"))
    assert start[0]["heldout"] == end[-1]["heldout"]
    folder = assemble(trained, without, tmp_path / "base")
    assert Recipe.model_validate_json((folder / "recipe.json").read_text()) == without


def begun_anew(work, recipe=TINY):
    """Stages of which a second training has folders that the first had not."""
    before = set(work.rglob("state.json"))
    stages.train_all(recipe, work, quiet=True)
    return {path.relative_to(work).parts[0] for path in set(work.rglob("state.json")) - before}


def test_a_changed_stage_rebuilds_what_follows_and_nothing_before(work):
    stages.train_all(TINY, work, quiet=True)
    before = {path: path.stat().st_mtime_ns for path in work.rglob("state.json")}
    changed = TINY.model_copy(update={"flow": TINY.flow.model_copy(update={"learning_rate": 3e-4})})
    assert begun_anew(work, changed) == {"flow", "rewording", "widening", "guidance"}
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_other_words_train_anew_what_learns_from_them(work, monkeypatch):
    stages.train_all(TINY, work, quiet=True)
    monkeypatch.setattr(captions, "made_up", lambda random: "blorb")
    monkeypatch.setattr(said, "CAPTIONS_VERSION", said.CAPTIONS_VERSION + 1)
    assert begun_anew(work) == {"rewording", "widening", "guidance"}


def test_other_words_for_the_tokenizers_train_anew_what_reads_tokens(work, monkeypatch):
    """Ids of the same number of entries stand for other pieces: nothing would fail but the training."""
    stages.train_all(TINY, work, quiet=True)
    monkeypatch.setattr(stages, "grammar_texts", lambda: ["kinetochore"] * 50)
    assert begun_anew(work) == {"text", "flow", "rewording", "widening", "guidance"}


def test_the_flow_stage_minimises_the_projects_own_objective(work, monkeypatch):
    """Its loss is `flow_matching_loss` of the text as FluxPipeline encodes it, at a guidance of 1."""
    seen = {}
    original = flow_stages.FlowLoop.fit

    def look(self):
        batch = self.source[0]
        seen["loss"] = self.losses(batch)
        text = self.model.text(batch.clip_ids, batch.t5_ids)
        seen["reference"] = flow_matching_loss(
            self.model.transformer, batch.x, batch.noise, batch.sigma, text, 1.0
        )
        seen["captions"], seen["batch"], seen["model"] = batch.captions, batch, self.model
        original(self)

    monkeypatch.setattr(flow_stages.FlowLoop, "fit", look)
    trained = stages.train_all(TINY, work, quiet=True, until="flow")
    assert torch.equal(seen["loss"], seen["reference"]) and (seen["loss"] > 0).all()
    icons_by_key = {icon.icon_id: icon for icon in trained.captions}
    for key, caption in zip(seen["batch"].keys, seen["captions"], strict=True):
        assert caption == "" or caption in icons_by_key[key].captions


def test_other_words_come_after_the_own_ones(work, monkeypatch):
    """The flow stage reads the icons' own captions, the next both kinds, each of the icon that it names."""
    seen = []
    original = flow_stages.FlowLoop.fit

    def look(self):
        batches = [self.source[number] for number in range(30)]
        seen.append([pair for batch in batches for pair in zip(batch.keys, batch.captions, strict=True)])
        original(self)

    monkeypatch.setattr(flow_stages.FlowLoop, "fit", look)
    trained = stages.train_all(TINY, work, quiet=True)
    own = {icon.icon_id: set(icon.captions) for icon in trained.captions}
    flow, rewording, _, guidance = ({pair for pair in pairs if pair[1]} for pairs in seen)
    assert all(caption in own[key] for key, caption in flow)
    for pairs in (rewording, guidance):
        other = [(key, caption) for key, caption in pairs if caption not in own[key]]
        assert 0.2 < len(other) / len(pairs) < 0.5
        colours = {key.split("/")[1].split("-")[0] for key, _ in other}
        assert colours == {"red", "green", "blue", "orange"}
        told = [
            caption for key, caption in other if key.split("/")[1].split("-")[0] in caption.split(", ")[1]
        ]
        assert len(told) > len(other) / 4


def test_text_of_a_batch_is_what_the_pipeline_encodes(work):
    """Padding, cutting and pooling agree with `FluxPipeline.encode_prompt`, else sampling sees other text."""
    from bioicons_pipeline.training.pretrain.assemble import pipeline_of
    from bioicons_pipeline.training.pretrain.flow import Nano
    from bioicons_pipeline.training.pretrain.text import Tokenized

    trained = stages.train_all(TINY, work, quiet=True)
    texts = ["a red heart", "", "a blue drop of water, flat shapes, isolated on a white background"]
    tokenized = Tokenized(texts, trained.clip_tokenizer, trained.t5_tokenizer)
    ours = Nano(trained.transformer, trained.clip, trained.t5).text(
        tokenized.clip(texts), tokenized.t5(texts, 8)
    )
    pipeline = pipeline_of(trained)
    for row, text in enumerate(texts):
        t5, pooled, _ = pipeline.encode_prompt(text, max_sequence_length=8)
        assert torch.allclose(ours.t5[row], t5[0], atol=1e-5), text
        assert torch.allclose(ours.pooled[row], pooled[0], atol=1e-5), text


def test_held_out_icons_are_never_trained_on(work, monkeypatch):
    monkeypatch.setattr(icons.BaseIcon, "heldout", property(lambda self: "heart" in self.key))
    seen = set()
    original = Loop.train_step

    def spy(self, stream):
        def watched():
            for batch in stream:
                seen.update(getattr(batch, "keys", ()))
                yield batch

        original(self, watched())

    monkeypatch.setattr(Loop, "train_step", spy)
    stages.train_all(TINY, work, quiet=True)
    assert seen and not any("heart" in key for key in seen)


def test_a_package_under_another_licence_is_refused(work):
    package(work / "npm", spdx="CC-BY-NC-4.0")
    with pytest.raises(TrainingError, match=r"declares the licence CC-BY-NC-4\.0, not MIT"):
        stages.train_all(TINY, work, quiet=True)


def test_no_npm_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(icons.shutil, "which", lambda name: None)
    with pytest.raises(TrainingError, match="npm is not installed"):
        icons.fetch(SOURCE, tmp_path)


def test_a_hostile_icon_is_left_out_and_the_rest_stays(work):
    package(work / "npm", extra={"bomb": {"body": "<g>" * 5000}, "empty-icon": {"body": ""}})
    found = icons.load_icons(work, 32, sources=(SOURCE,), progress=lambda *_: None)
    keys = {icon.key for icon in found.icons}
    assert "made-up/red-heart" in keys and "made-up/bomb" not in keys
    assert found.pixels.shape == (len(keys), 32, 32, 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dog-face-2", ("dog", "face")),
        ("alarmclock", ("alarm", "clock")),
        ("fox", ("fox",)),
        ("zzyzx", ("zzyzx",)),
        ("star-flat", ("star",)),
    ],
)
def test_words_of_a_name(name, words):
    assert sets.words(name, frozenset({"alarm", "clock", "fox", "dog", "face"})) == words


@pytest.mark.parametrize(
    "name", ["flag-france", "waving-hand-dark-skin-tone", "one-oclock", "boy-light", "man-cook"]
)
def test_variants_without_a_word_of_their_own_are_left_out(name):
    assert not sets.wanted(name)
    assert sets.wanted("microscope") and sets.wanted("red-apple")


def test_psnr_is_that_of_the_definition():
    ours, theirs = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    ours[1] += 0.2  # squared error 0.04 of a range of 2
    assert psnr(ours, theirs).tolist() == pytest.approx([100 + 20 * np.log10(2), 20.0], abs=1e-3)


def test_evaluations_look_at_every_sigma():
    assert (
        list(EVALUATED_SIGMAS) == sorted(EVALUATED_SIGMAS)
        and 0 < EVALUATED_SIGMAS[0] < EVALUATED_SIGMAS[-1] < 1
    )
