"""Other trainers' layouts of a built dataset: parquet, imagefolder, PNG + TXT pairs.

Belongs here: reading a dataset folder (`build` wrote it) and writing it anew. Does not belong here: what is
in it. Credits and licence texts travel with every layout, a Croissant description with Parquet.

imagefolder: https://huggingface.co/docs/datasets/image_dataset (`metadata.jsonl` beside the pictures).
pairs: `<icon_id>.png` and `<icon_id>.txt` with the caption, as kohya's and other trainers read.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from bioicons_pipeline.dataset.build import ROW_GROUP
from bioicons_pipeline.dataset.croissant import write_croissant
from bioicons_pipeline.dataset.schema import SPLITS
from bioicons_pipeline.errors import BioiconsError

FORMATS = ("parquet", "imagefolder", "pairs")
_CREDITS = ("ATTRIBUTION.md", "ATTRIBUTION.csv", "LICENSES", "dataset.json", "sampling_weights.csv")


class ExportError(BioiconsError):
    """The dataset cannot be exported there; the message says what to do."""


def export_dataset(
    source: Path,
    out: Path,
    layout: str,
    progress: Callable[[int, int], None] | None = None,
    *,
    replace: bool = False,
) -> int:
    """Write the dataset folder `source` to `out` as `layout`, one of FORMATS; returns the icons written.

    `out` is complete or absent: it is built beside itself and moved. With `replace` a folder that is there
    stays until the new one is complete, and then goes with all that is in it. Memory is flat in the number
    of icons.

    Raises:
        ExportError: `source` is no dataset with credits, there is no such layout, or `out` is a file, is not
            empty, or cannot be written.
    """
    out = out.absolute()  # "." has no name to put a new folder beside
    check_export(out, layout, replace=replace)
    if not (source / "ATTRIBUTION.csv").is_file() or not (source / "LICENSES").is_dir():
        raise ExportError(f"{source} is no dataset with its credits: build the dataset first.")
    writer = {"parquet": _parquet, "imagefolder": _imagefolder, "pairs": _pairs}[layout]
    total = sum(pq.read_metadata(shard).num_rows for _, shard in shards(source))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
            made = Path(scratch) / "new"
            made.mkdir()
            done = 0
            for count in writer(source, made):
                done += count
                if progress:
                    progress(done, total)
            _move(made, out)
    except OSError as error:
        raise ExportError(
            f"{out} cannot be written ({error.strerror or error}): choose another folder or free some space."
        ) from error
    return total


def check_export(out: Path, layout: str, *, replace: bool = False) -> None:
    """Refuse what `export_dataset` would refuse of `out` and `layout`, before anything is read.

    Raises:
        ExportError: there is no such layout, or `out` is in the way.
    """
    if layout not in FORMATS:
        raise ExportError(f"There is no format {layout!r}: use one of {', '.join(FORMATS)}.")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ExportError(f"{out} is a file or a link: give a folder that is empty or does not exist.")
    if out.is_dir() and any(out.iterdir()) and not replace:
        raise ExportError(
            f"{out} is there already: give a folder that is empty or does not exist, or replace it (--force)."
        )


def _move(made: Path, out: Path) -> None:
    """Put `made` in the place of `out`; should that fail, what was there stands again."""
    old = made.with_name("old")
    if out.exists():
        out.replace(old)
    try:
        made.replace(out)
    except BaseException:
        if old.exists():
            old.replace(out)
        raise


def shards(source: Path) -> list[tuple[str, Path]]:
    """(split, shard) of a dataset folder, in order."""
    found = sorted((source / "data").glob("*.parquet"))
    return [(split, path) for path in found for split in SPLITS if path.name.startswith(f"{split}-")]


def icons_of(source: Path) -> pd.DataFrame:
    """`icon_id`, `name`, `author` and `spdx` of every icon of a dataset folder; no picture is read."""
    columns = ["icon_id", "name", "author", "spdx"]
    rows = [row for _, shard in shards(source) for row in pq.read_table(shard, columns=columns).to_pylist()]
    return pd.DataFrame(rows, columns=columns)


def _rows(source: Path) -> Iterator[list[tuple[str, dict]]]:
    for split, shard in shards(source):
        with pq.ParquetFile(shard) as opened:
            for batch in opened.iter_batches(batch_size=ROW_GROUP):
                yield [(split, row) for row in batch.to_pylist()]


def _parquet(source: Path, out: Path) -> Iterator[int]:
    rows = {shard: pq.read_metadata(shard).num_rows for _, shard in shards(source)}
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        target = out / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        yield rows.get(path, 0)
    write_croissant(out)


def _imagefolder(source: Path, out: Path) -> Iterator[int]:
    _write_credits(source, out, pictures=True)
    for rows in _rows(source):
        for split, row in rows:
            image = row.pop("image")
            name = f"{row['icon_id']}.png"
            (out / split).mkdir(exist_ok=True)
            (out / split / name).write_bytes(image["bytes"])
            line = json.dumps({"file_name": name, "text": row["caption"], **row}, ensure_ascii=False)
            with (out / split / "metadata.jsonl").open("a", encoding="utf-8", newline="\n") as metadata:
                metadata.write(line + "\n")
        yield len(rows)


def _pairs(source: Path, out: Path) -> Iterator[int]:
    _write_credits(source, out, pictures=False)
    for rows in _rows(source):
        for split, row in rows:
            (out / split).mkdir(exist_ok=True)
            (out / split / f"{row['icon_id']}.png").write_bytes(row["image"]["bytes"])
            (out / split / f"{row['icon_id']}.txt").write_text(
                row["caption"] + "\n", encoding="utf-8", newline="\n"
            )
        yield len(rows)


def _write_credits(source: Path, out: Path, *, pictures: bool) -> None:
    for name in _CREDITS:
        path = source / name
        if path.is_dir():
            shutil.copytree(path, out / name)
        elif path.is_file():
            shutil.copy(path, out / name)
    card = source / "README.md"
    if card.is_file():
        # The card's own `configs` name Parquet shards; here a split is a folder, if it has pictures.
        splits = [split for split in SPLITS if any(name == split for name, _ in shards(source))]
        configs = "configs:\n- config_name: default\n  data_files:\n" + "".join(
            f"  - split: {split}\n    path: {split}/**\n" for split in splits
        )
        text = card.read_text(encoding="utf-8")
        text = re.sub(r"(?m)^configs:\n(?:(?: |- ).*\n)*", configs if pictures else "", text, count=1)
        (out / "README.md").write_text(text, encoding="utf-8", newline="\n")
