"""The pipeline on S3 makes what it makes on a disk, byte for byte: the version ids are equal."""

from bioicons_pipeline.store.s3 import S3Backend
from bioicons_pipeline_tests.orchestration.conftest import CATEGORIES, Place


def refs(store) -> dict[tuple[str, str], str]:
    """Version ids by asset and partition."""
    assets = ("svg_snapshot", "icon_manifest", "rasterized_icons", "icon_captions", "icon_dataset")
    return {
        (asset, partition): ref.version_id
        for asset in assets
        for partition, ref in store.list_refs(asset).items()
    }


def test_from_snapshot_to_dataset(built_once, s3_root, tmp_path):
    made = Place(tmp_path, s3_root)
    icons = {"source": str(built_once / "icons")}
    assert made.run("refresh_library", **icons).success
    assert made.run("build_datasets", *CATEGORIES, **icons).success
    assert made.run("build_library_dataset", **icons).success
    local = Place(built_once)
    assert refs(made.store) == refs(local.store) and len(refs(local.store)) >= 9
    # nothing but S3 was written to: the same store opened elsewhere has it all
    assert not (tmp_path / "store").exists()

    # a blob that is lost is written again by the stage that made it, and the version is the same
    backend = S3Backend(s3_root)
    version = made.store.version(made.store.get_ref("rasterized_icons", partition="Good").version_id)
    lost = next(entry.sha256 for entry in version.files if entry.path.startswith("png/"))
    assert backend.delete(f"blobs/{lost[:2]}/{lost}")
    assert not made.store.intact(version)
    assert made.run("build_datasets", *CATEGORIES, **icons).success
    assert made.store.verify(version) == [] and refs(made.store) == refs(local.store)
