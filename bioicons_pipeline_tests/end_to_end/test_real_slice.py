"""From a git history of real icons to a LoRA file and a grid, through the command line."""

import json
import subprocess

import pandas as pd
import pytest
from PIL import Image

from bioicons_pipeline.store import Store
from bioicons_pipeline_tests.end_to_end.conftest import BRIEF, bioicons

pytestmark = [pytest.mark.bundle, pytest.mark.git]


def test_dataset_lora_and_grid_lie_where_it_says(finished):
    data, done, _ = finished
    outputs = data / "outputs" / "Animals"
    shard = pd.read_parquet(next((outputs / "dataset" / "data").glob("train-*.parquet")))
    assert len(shard) >= 10
    assert set(shard["category"]) == {"Animals"}
    assert shard["spdx"].isin(["CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "MIT"]).all()
    assert (outputs / "dataset" / "ATTRIBUTION.md").is_file()
    weights = next(outputs.glob("lora-flux-tiny/pytorch_lora_weights.safetensors"))
    grid = next(outputs.glob("grid-flux-tiny/grid.png"))
    assert Image.open(grid).width > 500
    for path in (weights, grid, outputs / "dataset"):
        assert str(path) in done.stdout
    assert "fixed-noise loss" in done.stdout and "dagster dev" in done.stdout


def test_every_weight_can_be_traced_to_icons_authors_and_licences(finished, slice_of_the_library):
    data, _, _ = finished
    store = Store(data / "store")
    info = store.get_ref("lora_weights", partition="Animals", base="flux-tiny").info
    dataset = store.version(info["dataset_version"])
    facts = json.loads(store.read(dataset, "dataset.json"))
    head = (slice_of_the_library / ".git" / "HEAD").read_text()
    branch = head.removeprefix("ref: ").strip()
    assert facts["commit"] == (slice_of_the_library / ".git" / branch).read_text().strip()
    assert sum(facts["licence_mix"].values()) == facts["icons"] == sum(facts["authors"].values())


def test_every_category_has_a_manifest_with_reasons(finished):
    import io

    data, _, _ = finished
    store = Store(data / "store")
    ref = store.get_ref("icon_manifest", partition="Animals")
    frame = pd.read_parquet(io.BytesIO(store.read(store.version(ref.version_id), "manifest.parquet")))
    assert len(frame) == 25
    assert frame.loc[~frame["included"], "exclusion_reason"].notna().all()
    assert frame.loc[frame["included"], "exclusion_reason"].isna().all()
    assert frame["icon_id"].is_unique


def test_a_second_run_changes_nothing(finished):
    data, _, arguments = finished
    before = {path: path.read_bytes() for path in sorted((data / "store" / "refs").rglob("*.json"))}
    again = bioicons(*arguments, *BRIEF, data=data)
    assert again.returncode == 0, again.stderr
    assert before == {path: path.read_bytes() for path in sorted((data / "store" / "refs").rglob("*.json"))}


def test_a_small_category_is_said_not_to_be_trained(finished, slice_of_the_library):
    data, _, _ = finished
    done = bioicons(
        *("run", "--source", str(slice_of_the_library), "--category", "Parasites", "--size", "128"), data=data
    )
    assert done.returncode == 2
    assert "Parasites was not trained" in done.stderr and "at least 12" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.chromium
def test_what_was_rendered_is_what_the_browser_shows(finished, tmp_path):
    """`bioicons verify`: every included icon is compared, the table says by how much."""
    data, _, _ = finished
    table = tmp_path / "verify.csv"
    done = bioicons("verify", "--category", "Animals", "--out", str(table), data=data)
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(table)
    assert len(rows) >= 10 and (rows["theirs"] == "drawn").all() and (rows["ours"] == "drawn").all()
    assert rows["difference"].mean() < 2 and not rows["differs"].any()
    assert f"{len(rows)} of {len(rows)} icons compared" in done.stdout


def test_an_adapter_is_out_of_date_when_an_icon_of_its_is_deleted_upstream(
    finished, slice_of_the_library, tmp_path
):
    """Upstream deletes an icon: it leaves manifest and dataset, and the LoRA is named, with the icon."""
    data, before, _ = finished
    assert "OUT OF DATE" not in before.stdout
    shard = pd.read_parquet(
        next((data / "outputs" / "Animals" / "dataset" / "data").glob("train-*.parquet")),
        columns=["name", "author", "source_url"],
    )
    gone = shard.iloc[0]
    clone = tmp_path / "upstream"
    git = ["git", "-C", str(clone), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "clone", "--quiet", str(slice_of_the_library), str(clone)], check=True)
    (path,) = (clone / "static" / "icons").glob(f"*/Animals/*/{gone['name']}.svg")
    path.unlink()
    subprocess.run([*git, "commit", "--quiet", "--all", "-m", "delete an icon"], check=True)
    arguments = ("run", "--source", str(clone), "--category", "Animals", "--size", "128")
    done = bioicons(*arguments, "--until", "icon_dataset", data=data)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("OUT OF DATE")]
    assert "Animals on flux-tiny" in line and "deleted upstream" in line
    assert f"{gone['name']} by {gone['author']}" in line
    again = pd.read_parquet(
        next((data / "outputs" / "Animals" / "dataset" / "data").glob("train-*.parquet")), columns=["name"]
    )
    assert gone["name"] not in set(again["name"])
