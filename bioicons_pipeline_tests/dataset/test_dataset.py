"""The dataset folder: shards that others can read, credits that travel, bytes that do not change."""

import dataclasses
import hashlib
import io
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from bioicons_pipeline.dataset import DatasetInfo, DatasetRow, shard_name, write_card, write_shards

INFO = DatasetInfo(
    title="bioicons: Animals",
    source_url="https://example.org/icons",
    commit="f" * 40,
    committed_at="2025-12-19T09:36:05+01:00",
    licence_preset="attribution",
    trigger="bioicons style",
    grammar_version="1",
    render_size=32,
)


def png(colour) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    return buffer.getvalue()


def row(number: int, split: str = "train", category: str = "Animals") -> DatasetRow:
    return DatasetRow(
        icon_id=f"{number:08x}",
        sha256=f"{number:064x}",
        name=f"mouse_{number}",
        category=category,
        author="Ann | Author",
        author_url="https://example.org/ann",
        spdx="CC-BY-4.0",
        licence_url="https://creativecommons.org/licenses/by/4.0/",
        source_url=f"https://example.org/{number}",
        family_id=f"family-{number}",
        split=split,
        caption=f"bioicons style, mouse {number}",
        captions=(f"bioicons style, mouse {number}", "a mouse"),
        width=32,
        height=32,
        png=lambda: png((number % 256, 0, 0)),
    )


def manifest(rows) -> pd.DataFrame:
    records = [
        {field.name: getattr(item, field.name) for field in dataclasses.fields(item) if field.name != "png"}
        for item in rows
    ]
    return pd.DataFrame(records).assign(source_path="cc-by-4.0/Animals/Ann/x.svg", included=True)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def build(folder: Path, rows) -> dict:
    counts = write_shards(rows, folder)
    return write_card(manifest(rows), INFO, counts, folder)


ROWS = [row(number, "heldout" if number % 5 == 0 else "train") for number in range(1, 41)]


def test_hugging_face_opens_it_without_our_code(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf" / "datasets"))
    import datasets

    build(tmp_path / "set", ROWS)
    opened = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in opened.items()} == {"train": 32, "heldout": 8}
    for part in opened.values():
        for item in part:
            # Each picture is its own icon's: the colour was made from the number in the id.
            number = int(item["icon_id"], 16)
            assert item["image"].getpixel((5, 5)) == (number, 0, 0)
            assert item["caption"] == f"bioicons style, mouse {number}" == item["captions"][0]
            assert item["spdx"] == "CC-BY-4.0" and item["source_url"].endswith(f"/{number}")


def test_the_same_rows_give_the_same_bytes_in_any_order(tmp_path):
    build(tmp_path / "a", ROWS)
    build(tmp_path / "b", list(reversed(ROWS)))
    build(tmp_path / "c", [*ROWS[:-1], dataclasses.replace(ROWS[-1], caption="another")])
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c


def test_credits_and_licence_texts_travel(tmp_path):
    facts = build(tmp_path, ROWS)
    assert facts["licence_mix"] == {"CC-BY-4.0": 40}
    assert facts["splits"] == {"train": 32, "heldout": 8}
    assert "Ann" in (tmp_path / "ATTRIBUTION.md").read_text()
    assert (tmp_path / "ATTRIBUTION.csv").read_text().count("CC-BY-4.0") >= 40
    assert list((tmp_path / "LICENSES").iterdir())
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\n") and "cc-by-4.0" in card.split("---")[1]
    assert "Ann \\| Author" in card  # names come from strangers and must not break the table


def test_an_empty_category_has_a_card_and_no_shards(tmp_path):
    counts = write_shards([], tmp_path)
    facts = write_card(manifest(ROWS).iloc[:0], INFO, counts, tmp_path)
    assert facts["icons"] == 0 and not (tmp_path / "data").exists()
    assert (tmp_path / "README.md").is_file()


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="validation"):
        write_shards([row(1, "validation")], tmp_path)


def test_shard_names_are_ascii_and_never_collide():
    categories = ("Animals", "animals", "ANIMALS", "Chemo-_and_Bio", "Chemo_and-Bio", "Клетки")
    names = [shard_name(category, "train") for category in categories]
    assert len(set(names)) == len(names)
    assert all(name.isascii() for name in names)
    assert names[0] == "data/train-animals.parquet"
