"""Every image is trained with its own caption, whatever the order, the workers, the epoch or the cache did.

The proof: each test icon is a picture that no other icon has, so its latents identify it; batches are
checked against encodings made here, directly from the picture and the text.
"""

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
import torch

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import data
from bioicons_pipeline.training.cache import EncodingCache, decode_png
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.data import Icon, SamplePlan, micro_batch, open_dataset
from bioicons_pipeline.training.encoders import fill_cache
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.evaluate import FixedNoise
from bioicons_pipeline.training.loop import batches
from bioicons_pipeline.training.lora import BatchSource
from bioicons_pipeline.training.objective import scale_latents
from bioicons_pipeline.training.prepare import checkout_dataset
from bioicons_pipeline_tests.training.making import draw_png, make_rows, parquet_bytes, write_split


def fill(cache, base, icon_set, plan):
    calls = []
    fill_cache(
        cache,
        base,
        [icon_set],
        plan.captions(),
        device=torch.device("cpu"),
        dtype=torch.float32,
        progress=lambda phase, done, total: calls.append((phase, total)),
    )
    return calls


def make_cache(tmp_path, base, config):
    return EncodingCache(tmp_path / "encodings", base.fingerprint, config.resolution, config.t5_length)


def make_source(cache, config, icon_set, **options):
    plan = SamplePlan(
        icon_set.icons,
        seed=config.seed,
        caption_dropout=config.caption_dropout,
        variants=config.caption_variants,
    )
    return BatchSource(plan, cache, config, scaling=(0.1, 0.7), mu=0.5, **options)


@pytest.fixture
def truth(mini_pipeline, mini_config):
    """Functions that encode a picture and a text directly, with the base and nothing of the cache."""

    @cache
    def image(png):
        pixels = decode_png(png, mini_config.resolution, "truth")
        with torch.inference_mode():
            posterior = mini_pipeline.vae.encode(pixels[None]).latent_dist
        return posterior.mean[0], posterior.std[0]

    @cache
    def text(caption):
        with torch.inference_mode():
            t5, pooled, _ = mini_pipeline.encode_prompt(caption, max_sequence_length=mini_config.t5_length)
        return t5[0], pooled[0]

    return image, text


def check(batch, pictures, captions_of, truth):
    """Assert that every sample of `batch` is one icon, its latents, and one of its own captions."""
    image, text = truth
    for position, icon_id in enumerate(batch.icon_ids):
        mean, std = image(pictures[icon_id])
        raw = batch.x[position] / 0.7 + 0.1
        # the posterior's std is small: the drawn latents are within 6 std of this icon's mean and no other's
        assert ((raw - mean).abs() <= 6 * std + 1e-4).all(), icon_id
        for other, png in pictures.items():
            if other != icon_id:
                assert not ((raw - image(png)[0]).abs() <= 6 * std + 1e-4).all()
        caption = batch.captions[position]
        assert caption == "" or caption in captions_of[icon_id]
        t5, pooled = text(caption)
        assert torch.allclose(batch.text.t5[position], t5, atol=1e-5)
        assert torch.allclose(batch.text.pooled[position], pooled, atol=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_image_caption_and_latents_agree(workers, icon_sets, mini_base, mini_config, tmp_path, truth):
    train, _ = icon_sets
    rows = {row["icon_id"]: row for row in make_rows(12, size=32)}
    cache = make_cache(tmp_path, mini_base, mini_config)
    source = make_source(cache, mini_config, train)
    fill(cache, mini_base, train, source.plan)
    seen = []
    for batch in batches(source, 0, 18, workers):  # three epochs
        check(
            batch,
            {icon: row["image"]["bytes"] for icon, row in rows.items()},
            {icon: row["captions"] for icon, row in rows.items()},
            truth,
        )
        seen += batch.icon_ids
    epochs = [seen[start : start + 12] for start in (0, 12, 24)]
    assert all(sorted(epoch) == sorted(rows) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_workers_change_nothing(icon_sets, mini_base, mini_config, tmp_path):
    train, _ = icon_sets
    cache = make_cache(tmp_path, mini_base, mini_config)
    source = make_source(cache, mini_config, train)
    fill(cache, mini_base, train, source.plan)
    alone, helped = list(batches(source, 3, 15, 0)), list(batches(source, 3, 15, 2))
    assert len(alone) == 12
    for a, b in zip(alone, helped, strict=True):
        assert a.icon_ids == b.icon_ids and a.captions == b.captions
        for name in ("x", "noise", "sigma"):
            assert torch.equal(getattr(a, name), getattr(b, name))
        assert torch.equal(a.text.t5, b.text.t5)


def test_every_variant_is_used_and_latents_are_drawn_anew(icon_sets, mini_base, mini_config, tmp_path):
    train, _ = icon_sets
    cache = make_cache(tmp_path, mini_base, mini_config)
    source = make_source(cache, mini_config, train)
    fill(cache, mini_base, train, source.plan)
    used, latents = {}, {}
    for batch in batches(source, 0, 6 * 12, 0):
        for position, icon in enumerate(batch.icon_ids):
            used.setdefault(icon, set()).add(batch.captions[position])
            latents.setdefault(icon, []).append(batch.x[position])
    assert set().union(*used.values()) == set(source.plan.captions())
    for draws in latents.values():
        assert not torch.equal(draws[0], draws[1])


def test_a_changed_caption_is_encoded_anew_and_only_it(tmp_path, mini_base, mini_config, truth):
    rows = make_rows(4, size=32)
    first, _ = open_dataset(write_split(tmp_path / "a", rows))
    cache = make_cache(tmp_path, mini_base, mini_config)
    config = mini_config.model_copy(update={"caption_dropout": 0.0})
    fill(cache, mini_base, first, make_source(cache, config, first).plan)
    rows[2] = {**rows[2], "caption": "a purple virus", "captions": ["a purple virus"]}
    second, _ = open_dataset(write_split(tmp_path / "b", rows))
    source = make_source(cache, config, second)
    assert fill(cache, mini_base, second, source.plan) == [("captions", 1)]
    pictures = {row["icon_id"]: row["image"]["bytes"] for row in rows}
    captions = {row["icon_id"]: row["captions"] for row in rows}
    for batch in batches(source, 0, 4, 0):
        check(batch, pictures, captions, truth)


def test_a_changed_picture_is_encoded_anew_and_only_it(tmp_path, mini_base, mini_config, truth):
    """Same icon_id, other pixels: the old latents must not be used."""
    rows = make_rows(4, size=32)
    first, _ = open_dataset(write_split(tmp_path / "a", rows))
    cache = make_cache(tmp_path, mini_base, mini_config)
    fill(cache, mini_base, first, make_source(cache, mini_config, first).plan)
    rows[1] = {**rows[1], "image": {"bytes": draw_png(29, 32), "path": "x.png"}}
    second, _ = open_dataset(write_split(tmp_path / "b", rows))
    source = make_source(cache, mini_config, second)
    assert fill(cache, mini_base, second, source.plan) == [("images", 1)]
    pictures = {row["icon_id"]: row["image"]["bytes"] for row in rows}
    captions = {row["icon_id"]: row["captions"] for row in rows}
    for batch in batches(source, 0, 4, 0):
        check(batch, pictures, captions, truth)


def test_two_runs_share_a_cache(tmp_path, mini_base, mini_config, truth):
    """Other icons, other order, overlapping ids: each run still gets its own; the overlap is not redone."""
    rows = make_rows(10, size=32)
    one, _ = open_dataset(write_split(tmp_path / "one", rows[:6]))
    two, _ = open_dataset(write_split(tmp_path / "two", list(reversed(rows[4:]))))
    cache = make_cache(tmp_path, mini_base, mini_config)
    fill(cache, mini_base, one, make_source(cache, mini_config, one).plan)
    assert ("images", 4) in fill(cache, mini_base, two, make_source(cache, mini_config, two).plan)
    pictures = {row["icon_id"]: row["image"]["bytes"] for row in rows}
    captions = {row["icon_id"]: row["captions"] for row in rows}
    for icon_set in (one, two):
        for batch in batches(make_source(cache, mini_config, icon_set), 0, 3, 0):
            check(batch, pictures, captions, truth)


def test_an_entry_under_a_wrong_name_is_refused(icon_sets, mini_base, mini_config, tmp_path):
    train, _ = icon_sets
    cache = make_cache(tmp_path, mini_base, mini_config)
    fill(cache, mini_base, train, make_source(cache, mini_config, train).plan)
    a, b = (cache.path(cache.image_key(icon)) for icon in train.icons[:2])
    b.write_bytes(a.read_bytes())
    with pytest.raises(TrainingError, match="something else"):
        cache.load_image(train.icons[1])
    assert cache.missing_images(train.icons) == {train.icons[1].icon_id}


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_entry_is_encoded_again(damage, icon_sets, mini_base, mini_config, tmp_path):
    train, _ = icon_sets
    cache = make_cache(tmp_path, mini_base, mini_config)
    plan = make_source(cache, mini_config, train).plan
    fill(cache, mini_base, train, plan)
    path = cache.path(cache.image_key(train.icons[0]))
    sound = path.read_bytes()
    path.write_bytes(sound[:-7] if damage is None else damage)
    assert fill(cache, mini_base, train, plan) == [("images", 1)]
    assert path.read_bytes() == sound


def test_images_are_encoded_in_fp32_whatever_the_rest_is(icon_sets, mini_base, mini_config, tmp_path):
    """A bf16 run under autocast caches the very bytes of a fp32 run: the VAE is never in bf16."""
    train, _ = icon_sets
    files = []
    for dtype in (torch.float32, torch.bfloat16):
        cache = EncodingCache(tmp_path / str(dtype), mini_base.fingerprint, 32, mini_config.t5_length)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            fill_cache(
                cache,
                mini_base,
                [train],
                ["a"],
                device=torch.device("cpu"),
                dtype=dtype,
                progress=lambda *_: None,
            )
        mean, std = cache.load_image(train.icons[0])
        assert mean.dtype == std.dtype == torch.float32 and mean.shape == (16, 4, 4)
        assert cache.load_text("a")[0].dtype == dtype
        files.append([cache.path(cache.image_key(icon)).read_bytes() for icon in train.icons])
    assert files[0] == files[1]


def test_captions_that_are_too_long_are_counted(icon_sets, mini_base, mini_config, tmp_path):
    cache = make_cache(tmp_path, mini_base, mini_config)
    options = {"device": torch.device("cpu"), "dtype": torch.float32, "progress": lambda *_: None}
    assert fill_cache(cache, mini_base, [], ["a cell", "cell " * 39, "cell " * 40], **options) == 1


def test_a_complete_cache_loads_no_encoder(icon_sets, mini_base, mini_config, tmp_path):
    train, _ = icon_sets
    cache = make_cache(tmp_path, mini_base, mini_config)
    plan = make_source(cache, mini_config, train).plan
    fill(cache, mini_base, train, plan)
    assert fill(cache, replace(mini_base, path="/nowhere"), train, plan) == []


@pytest.mark.parametrize(
    "change", [{"resolution": 48}, {"base": "sha256:other"}, {"icon": Icon("other", "x", ("a",))}]
)
def test_everything_that_decides_an_encoding_is_in_its_key(change, tmp_path):
    icon = Icon("id", "x", ("a",))
    cache = EncodingCache(tmp_path, "sha256:base", 32, 16)
    changed = replace(cache, **{key: value for key, value in change.items() if key != "icon"})
    assert cache.path(cache.image_key(icon)) != changed.path(changed.image_key(change.get("icon", icon)))


def test_text_key_has_text_length_and_base(tmp_path):
    cache = EncodingCache(tmp_path, "sha256:base", 32, 16)
    paths = {
        cache.path(cache.text_key("a")),
        cache.path(cache.text_key("b")),
        replace(cache, t5_length=32).path(cache.text_key("a") | {"t5_length": 32}),
        cache.path(replace(cache, base="other").text_key("a")),
    }
    assert len(paths) == 4


# --- the order ---


def icons(count, weights=None):
    weights = weights or [1.0] * count
    return tuple(Icon(f"i{n:03d}", f"{n}", (f"c{n}",), weights[n]) for n in range(count))


def test_the_plan_is_a_function_of_seed_and_index():
    a, b = (
        SamplePlan(icons(7), seed=3, caption_dropout=0.3),
        SamplePlan(icons(7), seed=3, caption_dropout=0.3),
    )
    forwards = [a[i] for i in range(50)]
    backwards = [b[i] for i in reversed(range(50))][::-1]
    assert forwards == backwards
    other = SamplePlan(icons(7), seed=4, caption_dropout=0.3)
    assert [s.icon for s in forwards] != [other[i].icon for i in range(50)]
    assert len({s.noise_seed for s in forwards}) == 50


def test_caption_dropout_is_a_share_of_the_samples():
    plan = SamplePlan(icons(10), seed=0, caption_dropout=0.3)
    dropped = sum(plan[i].caption == "" for i in range(2000))
    assert 520 < dropped < 680
    assert "" in plan.captions() and "" not in SamplePlan(icons(10), seed=0).captions()


def test_weights_are_shares_over_epochs():
    weights = [0.0, 1.0, 1.0, 2.5, 0.5, 3.0, 0.0]
    plan = SamplePlan(icons(7, weights), seed=0)
    counts = dict.fromkeys(range(7), 0)
    for epoch in range(400):
        order = plan.order(epoch)
        assert len(order) == 7
        for position in order:
            counts[int(position)] += 1
    assert counts[0] == counts[6] == 0
    for position, weight in enumerate(weights):
        assert counts[position] == pytest.approx(400 * 7 * weight / 8, rel=0.1, abs=1)


def test_all_zero_weights_are_refused():
    with pytest.raises(TrainingError, match="weights are 0"):
        SamplePlan(icons(2, [0.0, 0.0]), seed=0)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_split_what_one_would_take(processes):
    options = {"accumulation": 3, "processes": processes}
    together = [
        index
        for step in range(4)
        for micro in range(3)
        for rank in range(processes)
        for index in micro_batch(step, micro, rank, batch=8 // processes, **options)
    ]
    assert together == list(range(4 * 3 * 8))


def test_two_processes_see_the_same_samples_as_one(icon_sets, mini_base, mini_config, tmp_path):
    train, _ = icon_sets
    cache = make_cache(tmp_path, mini_base, mini_config)
    whole = make_source(cache, TrainingConfig(**{**mini_config.model_dump(), "batch_size": 4}), train)
    fill(cache, mini_base, train, whole.plan)
    halves = [make_source(cache, mini_config, train, rank=rank, processes=2) for rank in (0, 1)]
    for number in range(5):
        parts = [half[number] for half in halves]
        assert whole[number].icon_ids == parts[0].icon_ids + parts[1].icon_ids
        assert torch.equal(whole[number].noise, torch.cat([part.noise for part in parts]))
        assert torch.equal(whole[number].sigma, torch.cat([part.sigma for part in parts]))


def test_latents_are_those_of_the_seed(icon_sets, mini_base, mini_config, tmp_path):
    """x is (mean + std · ε − shift) · scale with ε, noise and σ from the sample's own generator."""
    train, _ = icon_sets
    cache = make_cache(tmp_path, mini_base, mini_config)
    source = make_source(cache, mini_config, train)
    fill(cache, mini_base, train, source.plan)
    batch, sample = source[0], source.plan[0]
    generator = torch.Generator().manual_seed(sample.noise_seed)
    mean, std = cache.load_image(sample.icon)
    expected = scale_latents(mean + std * torch.randn(mean.shape, generator=generator), 0.1, 0.7)
    assert torch.equal(batch.x[0], expected)
    assert torch.equal(batch.noise[0], torch.randn(mean.shape, generator=generator))


# --- reading a dataset ---


def test_reading_rows(tmp_path):
    rows = make_rows(5, size=32)
    rows[0]["captions"] = None
    rows[1]["captions"] = ["only a variant"]
    train, heldout = open_dataset(write_split(tmp_path, rows))
    by_id = {icon.icon_id: icon for icon in train.icons}
    assert by_id[rows[0]["icon_id"]].captions == (rows[0]["caption"],)
    assert by_id[rows[1]["icon_id"]].captions == (rows[1]["caption"], "only a variant")
    assert len(heldout) == 0 and [icon.icon_id for icon in train.icons] == sorted(by_id)
    pictures = dict(train.pictures({rows[3]["icon_id"]}))
    assert list(pictures.values()) == [rows[3]["image"]["bytes"]]


def test_the_icons_that_judge_are_of_different_families(tmp_path):
    rows = make_rows(12)
    for index, row in enumerate(rows):  # nine colours of one drawing, and three others
        row["family_id"] = f"f{max(0, index - 8)}"
    _, heldout = open_dataset(write_split(tmp_path, make_rows(2, start=20), rows))
    for most, families in ((4, 4), (2, 2), (12, 4)):
        chosen = FixedNoise.choose(heldout, most, (0.5,), seed=0).icons
        assert len(chosen) == most and len({icon.family_id for icon in chosen}) == families


def test_pictures_are_streamed(tmp_path, monkeypatch):
    """At most one small batch of rows is decoded at a time."""
    write_split(tmp_path, make_rows(20, size=32))
    seen = []
    original = data.pq.ParquetFile.iter_batches

    def spy(self, batch_size, columns):
        for batch in original(self, batch_size=batch_size, columns=columns):
            seen.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(data.pq.ParquetFile, "iter_batches", spy)
    open_dataset(tmp_path)
    assert max(seen) <= 16 and sum(seen) == 20


def both_splits(rows):
    return rows, rows[:1]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda rows: ([], None), "no training icons"),
        (lambda rows: (rows + rows[:1], None), "twice"),
        (lambda rows: ([{**rows[0], "caption": None, "captions": []}], None), "no caption"),
        (lambda rows: ([{k: v for k, v in rows[0].items() if k != "image"}], None), "lacks the column image"),
        (both_splits, "training and the held-out split"),
    ],
)
def test_bad_datasets_are_one_sentence(edit, message, tmp_path):
    train, heldout = edit(make_rows(3, size=32))
    if train:
        write_split(tmp_path, train, heldout)
    with pytest.raises(TrainingError, match=message):
        open_dataset(tmp_path)


def test_icons_are_drawn_as_often_as_the_weights_of_the_dataset_say(tmp_path):
    """The CSV beside the shards reaches the plan; held-out icons have no weight and need none."""
    rows = make_rows(4, size=32)
    folder = write_split(tmp_path, rows[:3], rows[3:])
    given = dict(zip((row["icon_id"] for row in rows), (0.0, 1.0, 3.0), strict=False))
    lines = [f"{icon_id},{weight}\n" for icon_id, weight in given.items()]
    (folder / "sampling_weights.csv").write_text("icon_id,weight\n" + "".join(lines))
    train, heldout = open_dataset(folder)
    assert {icon.icon_id: icon.weight for icon in train.icons} == given and len(heldout) == 1
    plan = SamplePlan(train.icons, seed=0)
    drawn = Counter(plan[index].icon.icon_id for index in range(3 * 400))
    assert [drawn[row["icon_id"]] for row in rows[:3]] == [
        0,
        pytest.approx(300, abs=5),
        pytest.approx(900, abs=5),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("icon_id,weight\n{0},1\n{1},-1\n{2},1\n", "sampling weight -1.0"),
        ("icon_id,weight\n{0},1\n{1},nan\n{2},1\n", "sampling weight nan"),
        ("icon_id,weight\n{0},1\n", "has no sampling weight"),
        ("icon_id,weight\n{0},much\n", "cannot be read"),
        ("id,share\n{0},1\n", "cannot be read"),
    ],
)
def test_bad_weights_are_one_sentence(text, message, tmp_path):
    rows = make_rows(3, size=32)
    folder = write_split(tmp_path, rows)
    (folder / "sampling_weights.csv").write_text(text.format(*(row["icon_id"] for row in rows)))
    with pytest.raises(TrainingError, match=message):
        open_dataset(folder)


def test_the_weights_come_with_the_checkout(make_request, tmp_path):
    """A run reads them out of the version, not only a test out of a folder."""
    request = make_request()
    store = Store(request.store_root)
    version = store.version(request.dataset_version)
    files = {entry.path: store.read(version, entry.path) for entry in version.files}
    train = open_dataset(checkout_dataset(request.store_root, version.id, tmp_path))[0]
    lines = [f"{icon.icon_id},{index}\n" for index, icon in enumerate(train.icons)]
    weighted = store.commit({**files, "sampling_weights.csv": ("icon_id,weight\n" + "".join(lines)).encode()})
    read = open_dataset(checkout_dataset(request.store_root, weighted.id, tmp_path))[0]
    assert [icon.weight for icon in read.icons] == list(range(len(train)))


def test_a_picture_that_is_none_is_named(tmp_path, mini_base, mini_config):
    rows = make_rows(2, size=32)
    rows[1]["image"] = {"bytes": b"no png", "path": "x"}
    train, _ = open_dataset(write_split(tmp_path, rows))
    cache = make_cache(tmp_path, mini_base, mini_config)
    with pytest.raises(TrainingError, match=rows[1]["icon_id"]):
        fill(cache, mini_base, train, make_source(cache, mini_config, train).plan)


def test_transparency_becomes_white():
    import io

    from PIL import Image

    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.putpixel((3, 4), (255, 0, 0, 255))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    pixels = decode_png(buffer.getvalue(), 32, "x")
    assert pixels[:, 0, 0].tolist() == [1.0, 1.0, 1.0]
    assert pixels[:, 4, 3].tolist() == [1.0, -1.0, -1.0]  # row 4, column 3: nothing is flipped or turned


def test_parquet_without_weight_column_means_equal_weights(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-animals.parquet").write_bytes(parquet_bytes(make_rows(2, size=32)))
    train, _ = open_dataset(tmp_path)
    assert [icon.weight for icon in train.icons] == [1.0, 1.0]
