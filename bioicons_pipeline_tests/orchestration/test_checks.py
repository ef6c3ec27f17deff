"""Every asset check passes on what was built well, and fails on an input that must fail it."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bioicons_pipeline.evaluation.records import png_of
from bioicons_pipeline.orchestration.checks import ALL_CHECKS
from bioicons_pipeline.orchestration.checks.model import MODEL_CHECKS
from bioicons_pipeline.orchestration.stages import images, manifest
from bioicons_pipeline.orchestration.stages.base import CAPTIONS, DATASET, EVALUATION, IMAGES, WEIGHTS
from bioicons_pipeline.orchestration.stages.evaluation import refusals
from bioicons_pipeline.training import base_models
from bioicons_pipeline.training.export import diffusers_file
from bioicons_pipeline.training.files import WEIGHTS_NAME

BASE = "flux-nano"
CHECKS = {next(iter(check.check_keys)).name: check for check in ALL_CHECKS}
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def replant(place, asset: str, partition: str | None, change: Callable[[dict], None], info=None) -> None:
    """Point a ref at a version with changed files, as a broken stage would have left it."""
    ref = place.store.get_ref(asset, partition=partition)
    version = place.store.version(ref.version_id)
    files = {entry.path: place.store.read(version, entry.path) for entry in version.files}
    change(files)
    place.store.set_ref(
        asset, place.store.commit(files).id, partition=partition, info=ref.info if info is None else info
    )


def in_manifest(change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> Callable:
    def plant(place) -> None:
        def edit(files: dict) -> None:
            frame = pd.read_parquet(io.BytesIO(files["manifest.parquet"]))
            found = change(frame)
            files["manifest.parquet"] = manifest.to_parquet(frame if found is None else found)

        replant(place, manifest.LIBRARY, None, edit)

    return plant


def cell(column: str, value) -> Callable[[pd.DataFrame], None]:
    def change(frame: pd.DataFrame) -> None:
        frame.loc[frame.index[0], column] = value

    return change


def torn(frame: pd.DataFrame) -> None:
    frame.loc[:, "family_id"] = frame["family_id"].iloc[0]
    frame.loc[frame.index[0], "split"] = "train"
    frame.loc[frame.index[1], "split"] = "heldout"


def withdrawn(place) -> None:
    dataset = place.store.get_ref(DATASET, partition="Good").version_id
    info = {"status": "trained", "dataset_version": dataset}
    place.store.set_ref(WEIGHTS, dataset, partition="Good", base=BASE, info=info)
    in_manifest(lambda frame: frame[frame["category"] != "Good"])(place)


def picture(png: bytes) -> Callable:
    def plant(place) -> None:
        def edit(files: dict) -> None:
            files[next(path for path in sorted(files) if path.startswith("png/"))] = png

        replant(place, IMAGES, "Good", edit)

    return plant


def off_white() -> bytes:
    image = Image.new("RGB", (64, 64), "#fffffa")
    image.paste("black", (20, 20, 40, 40))
    return png_of(image)


def captions(edit: Callable[[dict], None], findings: tuple[str, ...] = ()) -> Callable:
    def plant(place) -> None:
        def change(files: dict) -> None:
            found = json.loads(files["captions.json"])
            edit(found)
            files["captions.json"] = json.dumps(found).encode()

        info = {**place.store.get_ref(CAPTIONS, partition="Good").info, "findings": list(findings)}
        replant(place, CAPTIONS, "Good", change, info)

    return plant


def empty(found: dict) -> None:
    found[min(found)] = {"caption": "", "captions": [""]}


def in_dataset(partition: str | None, edit: Callable[[dict], None]) -> Callable:
    return lambda place: replant(place, DATASET, partition, edit)


def more_icons(files: dict) -> None:
    files["dataset.json"] = json.dumps({**json.loads(files["dataset.json"]), "icons": 99}).encode()


def rows(change: Callable[[pd.DataFrame], None]) -> Callable[[dict], None]:
    """Change the rows of one training shard, through the columns that the checks read."""

    def edit(files: dict) -> None:
        path = next(path for path in sorted(files) if path.startswith("data/train-"))
        frame = pd.read_parquet(io.BytesIO(files[path]))
        change(frame)
        buffer = io.BytesIO()
        frame.to_parquet(buffer)
        files[path] = buffer.getvalue()

    return edit


def uncredited(files: dict) -> None:
    files["ATTRIBUTION.csv"] = files["ATTRIBUTION.csv"].splitlines(keepends=True)[0]


def leaking(files: dict) -> None:
    path = next(path for path in sorted(files) if path.startswith("data/train-"))
    files["data/heldout-again.parquet"] = files[path]


MODULES = [f"{stack}.{block}.attn.{part}" for stack in ("transformer_blocks", "single_transformer_blocks")
           for block in range(2) for part in ("to_q", "to_k")]  # fmt: skip
HEADER = {
    "base": BASE, "base_fingerprint": "sha256:0", "dataset_version": "d", "upstream_commit": "c",
    "config": "{}", "provenance": "{}",
}  # fmt: skip


def adapter(change: Callable[[dict, dict], None] = lambda tensors, header: None) -> bytes:
    tensors = {f"{name}.lora_{side}.weight": torch.ones(2, 2) for name in MODULES for side in "AB"}
    header = dict(HEADER)
    change(tensors, header)
    return diffusers_file(tensors, {"r": 2}, header)


def weights(data: bytes, partition: str | None = "Good") -> Callable:
    def plant(place) -> None:
        version = place.store.commit({WEIGHTS_NAME: data}).id
        place.store.set_ref(WEIGHTS, version, partition=partition, base=BASE, info={"status": "trained"})

    return plant


def zero(tensors: dict, _header: dict) -> None:
    for name in tensors:
        if "lora_B" in name:
            tensors[name] = torch.zeros(2, 2)


BROKEN_WEIGHTS = {
    "not finite": adapter(lambda t, h: t.update({f"{MODULES[0]}.lora_A.weight": torch.full((2, 2), np.nan)})),
    "idle": adapter(zero),
    "wrong module": adapter(lambda t, h: t.update({"norm_out.linear.lora_A.weight": torch.ones(2, 2)})),
    "half a pair": adapter(lambda t, h: t.pop(f"{MODULES[0]}.lora_B.weight")),
    "lost a block": adapter(lambda t, h: [t.pop(f"{MODULES[0]}.lora_{side}.weight") for side in "AB"]),
    "header": adapter(lambda t, h: h.pop("upstream_commit")),
    "cut off": adapter()[:-10],
}


def loss_rose(place) -> None:
    version = place.store.commit({WEIGHTS_NAME: adapter()}).id
    info = {"status": "trained", "fixed_noise_loss": {"before": 0.4, "after": 0.5}}
    place.store.set_ref(WEIGHTS, version, base=BASE, info=info)


def verdict(figure: str, state: str, partition: str | None, base: str = BASE) -> Callable:
    def plant(place) -> None:
        good = {"state": "good", "sentence": "Good.", "change": {"value": -1.0, "low": None, "high": None}}
        said = dict.fromkeys(("heldout_loss", "copies", "style"), good)
        said[figure] = {**good, "state": state, "sentence": "Not good."}
        version = place.store.commit({"report.json": b"{}"}).id
        info = {"status": "evaluated", "adapter": "a", "verdicts": said}
        place.store.set_ref(EVALUATION, version, partition=partition, base=base, info=info)

    return plant


def differing(place, monkeypatch) -> None:
    real = images.probe_many

    def probe_many(*arguments, **how):
        for result in real(*arguments, **how):
            yield type(result)(result.key, report={**result.report, "renderers_disagree": 40.0})

    monkeypatch.setattr(images, "probe_many", probe_many)


FAULTS = [
    ("no_icon_outside_the_preset", None, ERROR, in_manifest(cell("spdx", "CC-BY-SA-4.0"))),
    ("no_duplicate_id", None, ERROR, in_manifest(lambda f: pd.concat([f, f.head(1)]))),
    ("every_included_icon_has_its_credit", None, ERROR, in_manifest(cell("author", ""))),
    ("no_family_is_torn", None, ERROR, in_manifest(torn)),
    ("every_row_fits_the_schema", None, ERROR, in_manifest(cell("sha256", "nonsense"))),
    ("no_adapter_is_out_of_date", None, WARN, withdrawn),
    ("every_picture_is_sound", "Good", ERROR, picture(png_of(Image.new("RGB", (64, 64), "white")))),
    ("every_picture_is_sound", "Good", ERROR, picture(png_of(Image.new("RGB", (32, 64), "red")))),
    ("every_picture_is_sound", "Good", ERROR, picture(off_white())),
    ("every_picture_is_sound", "Good", ERROR, picture(b"no picture")),
    ("renderers_agree", "Good", WARN, differing),
    ("every_icon_has_a_caption", "Good", ERROR, captions(empty)),
    ("every_icon_has_a_caption", "Good", ERROR, captions(lambda found: found.pop(min(found)))),
    (
        "captions_read_well",
        "Good",
        WARN,
        captions(lambda found: None, ("unknown-word: 'qwrt' is in no table",)),
    ),
    ("the_counts_are_right", "Good", ERROR, in_dataset("Good", more_icons)),
    ("the_credits_are_complete", "Good", ERROR, in_dataset("Good", rows(cell("author", "")))),
    ("the_credits_are_complete", "Good", ERROR, in_dataset("Good", uncredited)),
    ("nothing_leaks", "Good", ERROR, in_dataset("Good", leaking)),
    ("the_library_counts_are_right", None, ERROR, in_dataset(None, more_icons)),
    ("the_library_credits_are_complete", None, ERROR, in_dataset(None, uncredited)),
    ("every_licence_is_in_the_preset", None, ERROR, in_dataset(None, rows(cell("spdx", "CC-BY-NC-4.0")))),
    ("no_family_on_both_sides", None, ERROR, in_dataset(None, leaking)),
    ("fixed_noise_loss_fell", None, ERROR, loss_rose),
    *(("the_weights_are_sound", "Good", ERROR, weights(data)) for data in BROKEN_WEIGHTS.values()),
    ("the_library_weights_are_sound", None, ERROR, weights(BROKEN_WEIGHTS["idle"], None)),
    ("better_than_the_base", "Good", ERROR, verdict("heldout_loss", "bad", "Good")),
    ("better_than_the_base", "Good", WARN, verdict("heldout_loss", "unsure", "Good")),
    ("no_copies", "Good", ERROR, verdict("copies", "bad", "Good")),
    ("closer_in_style", "Good", WARN, verdict("style", "bad", "Good")),
    ("library_better_than_the_base", None, ERROR, verdict("heldout_loss", "bad", None)),
    ("library_no_copies", None, ERROR, verdict("copies", "bad", None)),
    ("library_closer_in_style", None, WARN, verdict("style", "bad", None)),
]
"""(check, category or None, severity, what plants the fault)"""


def sound(place, base: str = BASE) -> None:
    """What the built library lacks for all checks to have something to look at."""
    for partition in ("Good", None):
        version = place.store.commit({WEIGHTS_NAME: adapter()}).id
        info = {"status": "trained", "fixed_noise_loss": {"before": 0.5, "after": 0.4}}
        info["dataset_version"] = place.store.get_ref(DATASET, partition=partition).version_id
        place.store.set_ref(WEIGHTS, version, partition=partition, base=base, info=info)
        verdict("style", "good", partition, base)(place)


def test_every_check_has_an_input_that_fails_it():
    assert {name for name, *_ in FAULTS} == set(CHECKS)


def test_all_pass_on_what_was_built_well(built):
    sound(built)
    failed = {}
    for name, category in {name: category for name, category, *_ in FAULTS}.items():
        found = built.check(CHECKS[name], category)
        if not found.passed:
            failed[name] = {key: value.value for key, value in found.metadata.items()}
    assert failed == {}


@pytest.mark.parametrize(
    "number", range(len(FAULTS)), ids=[f"{fault[0]}-{n}" for n, fault in enumerate(FAULTS)]
)
def test_fails_on_its_fault(number, built, monkeypatch):
    name, category, severity, plant = FAULTS[number]
    if plant is differing:
        plant(built, monkeypatch)
    else:
        plant(built)
    found = built.check(CHECKS[name], category)
    assert not found.passed and found.severity == severity


def test_a_gated_base_is_looked_up_without_a_token(built, monkeypatch):
    """The machine that Dagster is on has none where trainings run elsewhere."""
    monkeypatch.setattr(base_models, "hub_content", lambda *a, **o: pytest.fail("went to the hub"))
    monkeypatch.setenv("HF_HOME", str(built.root / "no token here"))
    built.resources["base"] = {"config": {"name": "flux1-dev"}}
    sound(built, "flux1-dev")
    about_models = {next(iter(check.check_keys)).name for check in MODEL_CHECKS}
    for name, category in {name: category for name, category, *_ in FAULTS if name in about_models}.items():
        assert built.check(CHECKS[name], category).passed, name


def test_a_lora_with_a_severe_verdict_is_not_given_away(built):
    verdict("copies", "bad", "Good")(built)
    assert refusals(built.store, "Good", BASE, "a") == ["Not good."]
    assert refusals(built.store, "Good", BASE, "another adapter") == []
    verdict("style", "bad", "Good")(built)
    assert refusals(built.store, "Good", BASE, "a") == []
    assert refusals(built.store, "Bad", BASE, "a") == []


def test_the_licence_gate_stands_in_the_stages(built):
    """A manifest that names an included icon of a licence outside the preset makes no dataset."""
    from bioicons_pipeline.orchestration.stages import dataset
    from bioicons_pipeline.orchestration.stages.base import MANIFEST

    def edit(files: dict) -> None:
        frame = pd.read_parquet(io.BytesIO(files["manifest.parquet"]))
        frame.loc[frame.index[frame["included"].astype(bool)][0], "spdx"] = "CC-BY-SA-4.0"
        files["manifest.parquet"] = manifest.to_parquet(frame)

    before = built.store.get_ref(DATASET, partition="Good")
    replant(built, MANIFEST, "Good", edit)
    with pytest.raises(dataset.LicenceGateError, match=r"CC-BY-SA-4\.0"):
        dataset.build(built.store, "Good", "attribution")
    built.store.delete_ref(DATASET)  # the library's: its inputs' ids did not change
    with pytest.raises(dataset.LicenceGateError, match=r"CC-BY-SA-4\.0"):
        dataset.build_library(built.store, ["Good"], "attribution")
    assert built.store.get_ref(DATASET, partition="Good") == before


def test_the_stages_themselves_refuse(built, monkeypatch):
    """The gates of dataset and adapter do not rely on the checks."""
    from bioicons_pipeline.orchestration.stages import dataset, weights
    from bioicons_pipeline.training.base_models import BaseLicence, BaseModel
    from bioicons_pipeline.training.config import TrainingConfig
    from bioicons_pipeline.training.request import TrainingRequest

    before = built.store.get_ref(DATASET, partition="Good").version_id
    real = dataset.write_card

    def card(frame, info, counts, folder: Path):
        facts = real(frame, info, counts, folder)
        (folder / "ATTRIBUTION.csv").write_text("icon_id,title\n")
        return facts

    monkeypatch.setattr(dataset, "write_card", card)
    monkeypatch.setattr(dataset, "CODE_VERSION", "another")
    with pytest.raises(dataset.DatasetRefusedError, match="the attribution does not name it"):
        dataset.build(built.store, "Good", "attribution")
    assert built.store.get_ref(DATASET, partition="Good").version_id == before
    base = BaseModel(BASE, "/nowhere", BaseLicence("MIT", None, True, ""), "sha256:0")
    request = TrainingRequest(
        store_root=str(built.store.root), dataset_version="d", base=BASE, config=TrainingConfig(),
        partition="Good", work_dir="work",
    )  # fmt: skip
    files = {WEIGHTS_NAME: BROKEN_WEIGHTS["not finite"], "training_report.json": b"{}"}
    with pytest.raises(weights.TrainingRejectedError, match="not finite"):
        weights.accept(
            built.store, weights.Plan("k", request=request), base, "Good", built.store.commit(files).id
        )
    other = replace(base, fingerprint="sha256:1")  # of the same name: a host with an old copy of it
    with pytest.raises(weights.TrainingRejectedError, match="is sha256:0, asked for was sha256:1"):
        weights.accept(
            built.store, weights.Plan("k", request=request), other, "Good", built.store.commit(files).id
        )
    assert built.store.get_ref(WEIGHTS, partition="Good", base=BASE) is None
