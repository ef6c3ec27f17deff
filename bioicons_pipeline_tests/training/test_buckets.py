"""Aspect buckets: the right size for an icon, batches of one size, pairing, resuming; off, all as before."""

import hashlib
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import buckets, lora, run
from bioicons_pipeline.training.buckets import bucket_of, bucket_sizes, drawn_bounds, into_bucket
from bioicons_pipeline.training.cache import EncodingCache, decode_png
from bioicons_pipeline.training.data import BucketPlan, Icon, SamplePlan, micro_batch, open_dataset
from bioicons_pipeline.training.encoders import fill_cache
from bioicons_pipeline.training.evaluate import FixedNoise, fixed_noise_losses
from bioicons_pipeline.training.lora import BatchSource, plan_of
from bioicons_pipeline_tests.training.making import commit_dataset, make_rows, write_split
from bioicons_pipeline_tests.training.test_processes import launched
from bioicons_pipeline_tests.training.test_resume import (
    assert_same_run,
    at_step,
    killed_run,
    last_checkpoint,
)

WIDE, TALL = (48, 80), (80, 48)
"""The buckets at 64 px, beside the square."""
SHAPES = {"wide": (84, 42), "tall": (40, 80), "square": (70, 70)}
"""Width and height of what is drawn on 96 px."""
KINDS = ("wide", "square", "tall", "wide", "square")


def drawing(width, height, side, colour=(180, 30, 60), at=None):
    """A rectangle with a dark left edge on a white square, in its middle unless `at` says where."""
    picture = Image.new("RGB", (side, side), "white")
    left, top = at or ((side - width) // 2, (side - height) // 2)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
    draw.rectangle((left, top, left + max(1, width // 8) - 1, top + height - 1), fill=(0, 0, 0))
    return picture


def mixed_rows(count, start=0):
    """Rows whose icons are wide, square and tall, each of a colour of its own."""
    rows = make_rows(count, size=32, start=start)
    for index, row in enumerate(rows, start=start):
        colour = (40 + 12 * index % 200, 200 - 11 * index % 180, 30 + 29 * index % 210)
        buffer = io.BytesIO()
        drawing(*SHAPES[KINDS[index % 5]], 96, colour).save(buffer, "PNG")
        row["image"] = {"bytes": buffer.getvalue(), "path": "x.png"}
    return rows


def expected_sizes(count, start=0):
    """icon_id → size, from how the rows were drawn."""
    sizes = {"wide": WIDE, "tall": TALL, "square": None}
    ids = [row["icon_id"] for row in make_rows(count, size=32, start=start)]
    return {icon_id: sizes[KINDS[index % 5]] for index, icon_id in enumerate(ids, start=start)}


# --- sizes and crops ---


@pytest.mark.parametrize("resolution", [16, 32, 64, 256, 512, 768, 1024])
def test_sizes_are_of_one_area_and_the_square_is_among_them(resolution):
    sizes = bucket_sizes(resolution)
    assert (resolution, resolution) in sizes and len(set(sizes)) == len(sizes)
    assert all(side % 16 == 0 and side > 0 for size in sizes for side in size)
    assert {size[::-1] for size in sizes} == set(sizes)
    assert all(height * width <= resolution**2 for height, width in sizes)
    if resolution >= 256:
        assert all(height * width > 0.94 * resolution**2 for height, width in sizes)
        found = [height / width for height, width in sizes]
        assert found == pytest.approx(buckets.RATIOS, rel=0.05)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (900, 900, None),
        (900, 800, None),
        (900, 600, (832, 1248)),
        (600, 900, (1248, 832)),
        (900, 400, (720, 1456)),
        (400, 900, (1456, 720)),
        (940, 30, (720, 1456)),
        (3, 940, (1456, 720)),
    ],
)
def test_an_icon_gets_the_nearest_size(width, height, expected):
    assert bucket_of(drawn_bounds(drawing(width, height, 1024)), 1024) == expected


def test_what_is_nearly_white_is_paper_and_an_empty_picture_stays_square():
    picture = Image.new("RGB", (64, 64), (250, 255, 252))
    assert drawn_bounds(picture) is None and bucket_of(None, 64) is None
    assert np.asarray(into_bucket(picture, WIDE)).min() == 255
    picture.putpixel((9, 20), (255, 255, 240))
    assert drawn_bounds(picture) == (9, 20, 10, 21)


@pytest.mark.parametrize(
    ("width", "height", "at"), [(400, 150, None), (480, 16, (32, 490)), (150, 500, (0, 0)), (90, 200, None)]
)
def test_a_drawing_fills_its_bucket_and_is_neither_cut_nor_distorted(width, height, at):
    """In the middle, turned no way, with its margin; also where it lies at the picture's edge."""
    picture = drawing(width, height, 512, at=at)
    size = bucket_of(drawn_bounds(picture), 512)
    made = into_bucket(picture, size)
    assert size is not None and (made.height, made.width) == size
    # at half the contrast: the filter rings beyond edges
    rows, columns = np.nonzero(np.asarray(made).min(axis=2) < 128)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    scale = buckets.enlargement(drawn_bounds(picture), size)
    assert right - left == pytest.approx(width * scale, abs=1.5)
    assert bottom - top == pytest.approx(height * scale, abs=1.5)
    assert left == pytest.approx(made.width - right, abs=2)
    assert top == pytest.approx(made.height - bottom, abs=2)
    assert min(left, top) == pytest.approx(buckets.MARGIN * max(size), abs=1.5)
    middle = (top + bottom) // 2
    assert made.getpixel((left + 4, middle)) == (0, 0, 0) != made.getpixel((right - 5, middle))
    assert made.getpixel((0, 0)) == (255, 255, 255)


# --- the order ---


def sized_icons(weights=None, count=20):
    sizes = [None, WIDE, None, TALL, WIDE]
    weights = weights or [1.0] * count
    return tuple(
        Icon(f"i{n:03d}", f"{n}", (f"c{n}", f"d{n}"), weights[n], sizes[n % 5]) for n in range(count)
    )


def test_without_buckets_the_plan_is_what_it_was():
    """Digests of the plan before there were buckets, with equal and with other weights."""
    for weights, expected in (
        ([1.0] * 9, "dcbe83b6489ef36d"),
        ([0.0, 1, 1, 2.5, 0.5, 3, 0, 1, 0.1], "6e82bd89d2fbf2ac"),
    ):
        icons = [Icon(f"i{n}", str(n), (f"c{n}", f"d{n}"), weights[n]) for n in range(9)]
        plan = SamplePlan(icons, seed=3, caption_dropout=0.2)
        lines = (
            f"{s.index},{s.epoch},{s.icon.icon_id},{s.caption},{s.noise_seed}\n"
            for s in map(plan.__getitem__, range(60))
        )
        assert hashlib.sha256("".join(lines).encode()).hexdigest()[:16] == expected


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 0.0, 3.0] * 4])
def test_icons_of_one_size_come_as_without_buckets(weights):
    squares = tuple(Icon(i.icon_id, i.content, i.captions, i.weight) for i in sized_icons(weights))
    ours, theirs = BucketPlan(squares, group=8, seed=5), SamplePlan(squares, seed=5)
    assert [ours[index] for index in range(200)] == [theirs[index] for index in range(200)]


@pytest.mark.parametrize("group", [1, 3, 32])
def test_no_group_mixes_sizes_and_shares_are_those_of_the_weights(group):
    weights = [0.5, 1.0, 2.0, 0.0, 3.0, 1.0, 0.2, 1.0, 0.6, 1.0] * 2
    plan = BucketPlan(sized_icons(weights), group=group, seed=1)
    total = 4000 * group
    drawn = [plan.icon_at(index) for index in range(total)]
    for start in range(0, total, group):
        assert len({icon.size for icon in drawn[start : start + group]}) == 1
    assert len({icon.size for icon in drawn}) == 3
    counts = Counter(icon.icon_id for icon in drawn)
    for icon in plan.icons:
        share = total * icon.weight / sum(weights)
        assert counts[icon.icon_id] == pytest.approx(share, rel=0.15, abs=1)  # about 4 sd of the least


def test_within_a_size_nothing_comes_twice_before_all_have_come():
    plan = BucketPlan(sized_icons(), group=4, seed=0)
    of_wide = [icon for index in range(400) if (icon := plan[index].icon).size == WIDE]
    for start in range(0, len(of_wide) - 8, 8):
        assert len({icon.icon_id for icon in of_wide[start : start + 8]}) == 8


def test_the_order_is_a_function_of_seed_and_index():
    a, b = (BucketPlan(sized_icons(), group=4, seed=3, caption_dropout=0.3) for _ in range(2))
    forwards = [a[index] for index in range(150)]
    assert [b[index] for index in reversed(range(150))][::-1] == forwards
    late = BucketPlan(sized_icons(), group=4, seed=3, caption_dropout=0.3)
    assert late[149] == forwards[149]
    other = BucketPlan(sized_icons(), group=4, seed=4, caption_dropout=0.3)
    assert [other[index].icon for index in range(150)] != [sample.icon for sample in forwards]


def test_processes_take_one_size_in_a_forward_pass(mini_config):
    config = mini_config.model_copy(update={"aspect_buckets": True, "accumulation": 2})
    plan = plan_of(sized_icons(), config, processes=3)
    sizes = []
    for step in range(30):
        for micro in range(2):
            taken = [
                plan[index].icon.size
                for rank in range(3)
                for index in micro_batch(step, micro, rank, batch=2, accumulation=2, processes=3)
            ]
            assert len(taken) == 6 and len(set(taken)) == 1
            sizes.append(taken[0])
    assert set(sizes) == {None, WIDE, TALL}
    assert type(plan_of(sized_icons(), mini_config, processes=3)) is SamplePlan


# --- pictures, captions, latents ---


@pytest.fixture
def sized(tmp_path, mini_base, mini_config):
    """(config, cache, set in buckets) with everything encoded."""
    config = mini_config.model_copy(
        update={"aspect_buckets": True, "resolution": 64, "timestep_sampling": "shifted"}
    )
    train, _ = open_dataset(write_split(tmp_path / "dataset", mixed_rows(10)))
    cache = EncodingCache(tmp_path / "encodings", mini_base.fingerprint, 64, config.t5_length)
    train = cache.in_buckets(train)
    fill_cache(
        cache,
        mini_base,
        [train],
        plan_of(train.icons, config).captions(),
        device=torch.device("cpu"),
        dtype=torch.float32,
        progress=lambda *_: None,
    )
    return config, cache, train


def test_icon_caption_latents_and_shift_agree(sized, mini_pipeline):
    config, cache, train = sized
    rows = {row["icon_id"]: row for row in mixed_rows(10)}
    assert {icon.icon_id: icon.size for icon in train.icons} == expected_sizes(10)
    mus = {WIDE: -0.7, TALL: 0.9, (64, 64): 0.1}
    source = BatchSource(
        plan_of(train.icons, config), cache, config, scaling=(0.0, 1.0), mu=0.1, bucket_mu=mus
    )

    def encoded(icon_id, size):
        pixels = decode_png(rows[icon_id]["image"]["bytes"], 64, icon_id, size)
        with torch.inference_mode():
            posterior = mini_pipeline.vae.encode(pixels[None]).latent_dist
        return posterior.mean[0], posterior.std[0]

    shapes = set()
    for number in range(20):
        batch = source[number]
        for position, icon_id in enumerate(batch.icon_ids):
            size = expected_sizes(10)[icon_id]
            mean, std = encoded(icon_id, size)
            height, width = size or (64, 64)
            shapes.add(tuple(batch.x.shape))
            assert batch.x[position].shape == (16, height // 8, width // 8) == batch.noise[position].shape
            assert ((batch.x[position] - mean).abs() <= 6 * std + 1e-4).all()
            for other in rows:
                if other != icon_id and expected_sizes(10)[other] == size:
                    assert not ((batch.x[position] - encoded(other, size)[0]).abs() <= 6 * std + 1e-4).all()
            assert batch.captions[position] in {*rows[icon_id]["captions"], ""}
            generator = torch.Generator().manual_seed(source.plan[2 * number + position].noise_seed)
            for _ in range(2):  # the draw of the latents, and the noise
                torch.randn(batch.x[position].shape, generator=generator)
            normal = torch.randn((), generator=generator, dtype=torch.float64)
            assert float(batch.sigma[position]) == pytest.approx(
                float(torch.sigmoid(normal + mus[size or (64, 64)])), abs=1e-5
            )
    assert len(shapes) == 3


def test_pictures_are_measured_once_and_squares_share_their_encodings(sized, monkeypatch):
    _, cache, train = sized
    plain = [Icon(icon.icon_id, icon.content, icon.captions) for icon in train.icons]
    kept = {icon.icon_id for icon in train.icons if icon.size is None}
    assert cache.missing_images(plain) == {icon.icon_id for icon in train.icons} - kept and kept
    monkeypatch.setattr("bioicons_pipeline.training.cache.drawn_bounds", lambda _: pytest.fail("measured"))
    assert cache.in_buckets(train) == train


def test_an_evaluation_of_several_sizes_is_that_of_each_alone(sized, mini_pipeline):
    _, cache, train = sized
    fixed = FixedNoise(train.icons, (0.2, 0.6), seed=3)
    how = {"scaling": (0.0, 1.0), "guidance": 1.0, "device": torch.device("cpu"), "step": 0}

    def losses(chosen, batch_size):
        from contextlib import nullcontext

        return fixed_noise_losses(
            mini_pipeline.transformer, chosen, cache, batch_size=batch_size, autocast=nullcontext(), **how
        )

    together = losses(fixed, 4)
    alone = [losses(FixedNoise((icon,), fixed.sigmas, 3), 1) for icon in fixed.icons]
    for index in range(2):
        assert together[index] == pytest.approx([one[index][0] for one in alone], rel=1e-4)


# --- runs ---


@pytest.fixture(scope="module")
def mixed_request(make_request):
    """Function (**overrides) → request on wide, tall and square icons, with buckets."""
    request = make_request()
    version = commit_dataset(Store(request.store_root), mixed_rows(10), mixed_rows(4, start=10))

    def make(work, **config):
        config = {"aspect_buckets": True, "resolution": 64, "steps": 8, "eval_icons": 4, **config}
        return make_request(work=work, **config).model_copy(update={"dataset_version": version})

    return make


def test_a_killed_run_with_buckets_goes_on_bit_by_bit(mixed_request, monkeypatch):
    whole, killed = mixed_request("whole-buckets"), mixed_request("killed-buckets")
    shapes = []
    original = lora.flow_matching_loss

    def seen(model, x, *rest):
        shapes.append(tuple(x.shape[-2:]))
        return original(model, x, *rest)

    monkeypatch.setattr(lora, "flow_matching_loss", seen)
    outcome = run.train(whole, quiet=True)
    assert set(shapes) == {(6, 10), (10, 6), (8, 8)} and len(shapes) == 8
    killed_run(killed, at_step(5))
    again = run.train(killed, quiet=True)
    assert again.resumed_from in (4, 5) and again.version_id == outcome.version_id
    assert_same_run(last_checkpoint(whole), last_checkpoint(killed))


@pytest.mark.slow
def test_two_processes_equal_one_with_the_doubled_batch(mixed_request, tmp_path):
    """Each step of both is of one size, and the losses are those of one process, within rounding."""
    options = {"steps": 6, "eval_every": 0}
    both, alone = (mixed_request(f"of-{size}", batch_size=size, **options) for size in (1, 2))
    done = launched(both, tmp_path)
    assert done.returncode == 0 and "2 process(es)" in done.stderr, done.stderr
    run.train(alone, quiet=True)
    ours, theirs = last_checkpoint(both).state, last_checkpoint(alone).state
    assert ours.losses == pytest.approx(theirs.losses, abs=1e-5) and len(ours.losses) == 6
    last = [state.evaluations[-1]["heldout"]["loss"] for state in (ours, theirs)]
    assert last[0] == pytest.approx(last[1], abs=1e-5)


def test_buckets_are_another_run_and_readers_change_nothing(mixed_request):
    options = {"steps": 4, "warmup_steps": 0, "eval_every": 0}
    request, helped = mixed_request("alone", **options), mixed_request("helped", workers=1, **options)
    ours, theirs = run.train(request, quiet=True), run.train(helped, quiet=True)
    assert ours.version_id == theirs.version_id
    plain = run.train(mixed_request("alone", aspect_buckets=False, **options), quiet=True)
    assert plain.version_id != ours.version_id
    assert len(list((Path(request.work_dir) / "runs").iterdir())) == 2
