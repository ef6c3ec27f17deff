"""Other trainers' layouts: what they hold, who reads them, and that a failed export leaves nothing."""

import json

import pytest
from PIL import Image

from bioicons_pipeline.dataset import ExportError, export_dataset
from bioicons_pipeline.dataset import export as export_module
from bioicons_pipeline_tests.dataset.test_dataset import ROWS, build, digests


@pytest.fixture
def built(tmp_path):
    build(tmp_path / "built", ROWS)
    return tmp_path / "built"


def test_pairs_have_a_picture_and_its_own_caption(built, tmp_path):
    assert export_dataset(built, tmp_path / "out", "pairs") == 40
    texts = sorted((tmp_path / "out").rglob("*.txt"))
    pairs = [path for path in texts if path.parent.name in {"train", "heldout"}]
    assert len(pairs) == 40
    for text in pairs:
        number = int(text.stem, 16)
        assert text.read_text() == f"bioicons style, mouse {number}\n"
        assert Image.open(text.with_suffix(".png")).getpixel((3, 3)) == (number, 0, 0)
        assert text.parent.name == ("heldout" if number % 5 == 0 else "train")


def test_hugging_face_opens_the_imagefolder(built, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    import datasets

    export_dataset(built, tmp_path / "out", "imagefolder")
    lines = (tmp_path / "out" / "train" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) == 32 and {"file_name", "text", "spdx", "source_url"} <= set(json.loads(lines[0]))
    opened = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in opened.items()} == {"train": 32, "heldout": 8}
    for item in opened["train"]:
        assert item["image"].getpixel((5, 5)) == (int(item["icon_id"], 16), 0, 0)


def test_parquet_is_the_dataset_itself(built, tmp_path):
    export_dataset(built, tmp_path / "out", "parquet")
    written = digests(tmp_path / "out")
    assert written.pop("croissant.json") and written == digests(built)


@pytest.mark.parametrize("layout", ["parquet", "imagefolder", "pairs"])
def test_credits_travel_with_every_layout(built, tmp_path, layout):
    export_dataset(built, tmp_path / "out", layout)
    assert "Ann" in (tmp_path / "out" / "ATTRIBUTION.md").read_text()
    assert list((tmp_path / "out" / "LICENSES").iterdir())
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\n") and ("data/train-" in card) == (layout == "parquet")


def test_a_failed_export_leaves_nothing(built, tmp_path, monkeypatch):
    def fails(*_):
        yield 1
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "_pairs", fails)
    with pytest.raises(KeyboardInterrupt):
        export_dataset(built, tmp_path / "out", "pairs")
    assert [path.name for path in tmp_path.iterdir()] == ["built"]


def test_what_cannot_be_exported_is_refused(built, tmp_path):
    with pytest.raises(ExportError, match="no format"):
        export_dataset(built, tmp_path / "out", "zip")
    with pytest.raises(ExportError, match="there already"):
        export_dataset(built, built, "pairs")
    (built / "ATTRIBUTION.csv").unlink()
    with pytest.raises(ExportError, match="credits"):
        export_dataset(built, tmp_path / "out", "pairs")
