"""From a git history of real icons to a grid with the store on S3: the same versions as on a disk."""

import json
import os

import pytest

from bioicons_pipeline.store import Store
from bioicons_pipeline_tests.end_to_end.conftest import BRIEF, bioicons

pytestmark = [pytest.mark.bundle, pytest.mark.git, pytest.mark.slow]
STAGES = ("svg_snapshot", "icon_manifest", "rasterized_icons", "icon_captions", "icon_dataset")
BY_BASE = ("lora_weights", "sample_grid")


def refs(store: Store) -> dict[str, str]:
    """Version id by asset and partition."""
    found = {f"{a}/{p}": ref.version_id for a in STAGES for p, ref in store.list_refs(a).items()}
    for asset in BY_BASE:
        found |= {f"{asset}/{p}": ref.version_id for p, ref in store.list_refs(asset, "flux-tiny").items()}
    return found


@pytest.mark.parametrize("s3_endpoint", ["moto", "rclone"], indirect=True)
def test_the_whole_pipeline_is_the_same_on_s3(finished, s3_root, tmp_path):
    data, _, arguments = finished
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    done = bioicons(*arguments, *BRIEF, data=tmp_path / "data", BIOICONS_STORE_ROOT=s3_root, **aws)
    assert done.returncode == 0, done.stdout + done.stderr
    local, there = refs(Store(data / "store")), refs(Store(s3_root))
    assert there == local and len(local) >= 7, json.dumps([local, there], indent=1)
    assert not (tmp_path / "data" / "store").exists()
