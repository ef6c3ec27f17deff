"""Croissant: what a dataset folder is, as JSON-LD that machine-learning tools and search engines read.

Belongs here: `croissant.json` of a folder that `build` wrote, from its `dataset.json`, schema and files. Does
not belong here: what is in the dataset. Follows https://docs.mlcommons.org/croissant/docs/croissant-spec.html
(1.0), and is validated with mlcroissant in the tests.

It is written when a dataset is exported or published, and is no part of the stored version: the version's id
is the dataset's data version, and a file more in it would train every LoRA again for a description.

Each Parquet file has its sha256, and a record set of its own: a record set over a set of files is read by
mlcroissant without a look at their hashes.
"""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bioicons_pipeline.dataset.schema import dataset_schema
from bioicons_pipeline.library.licences import BY_SPDX

FILE = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_CR = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet",
    "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
    "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
    "transform",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _CR},
}
"""The specification's own, its appendix 1."""

FIELDS = {
    "image": "The picture: PNG, RGB on white.",
    "caption": "What the picture shows, in one sentence, with the trigger.",
    "captions": "Several captions; the first is `caption`.",
    "icon_id": "Stable id: hash of the icon's path upstream.",
    "sha256": "sha256 of the SVG's bytes.",
    "name": "Name upstream.",
    "category": "Scientific category.",
    "author": "Who drew it.",
    "author_url": "The author's page.",
    "spdx": "SPDX id of its licence.",
    "licence_url": "Address of the licence's text.",
    "source_url": "Permalink to the SVG.",
    "family_id": "Look-alikes share it, and are on one side of the split.",
    "width": "Width in px.",
    "height": "Height in px.",
}
"""What each column holds; the columns are those of `schema.dataset_schema`."""
_LINKS = ("author_url", "licence_url", "source_url")
_NUMBERS = ("width", "height")


def croissant(folder: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """The JSON-LD document of the dataset in `folder`, whose files are read to hash them.

    progress: called with files done and to do.
    """
    facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    shards = sorted((folder / "data").glob("*.parquet"))
    distribution, sets = [], []
    for number, shard in enumerate(shards, start=1):
        distribution.append(_file(shard, f"data/{shard.name}"))
        sets.append(_record_set(shard))
        if progress:
            progress(number, len(shards))
    return {**_about(facts), "distribution": distribution, "recordSet": sets}


def write_croissant(folder: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write `croissant.json` into the dataset folder `folder`: the same folder gives the same bytes."""
    target = folder / FILE
    text = json.dumps(croissant(folder, progress), indent=1, ensure_ascii=False) + "\n"
    target.write_text(text, encoding="utf-8", newline="\n")
    return target


def _about(facts: dict) -> dict[str, Any]:
    """The dataset as a whole."""
    date = {"datePublished": facts["committed_at"][:10]} if facts["committed_at"] else {}
    mix = ", ".join(f"{spdx} ({count})" for spdx, count in sorted(facts["licence_mix"].items()))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": facts["title"],
        "description": f"{facts['icons']} scientific icons in {facts['families']} families of look-alikes, "
        f"each with captions, author, licence and a link to its source. Licences: {mix}; the field `spdx` "
        "says which one an icon has, and ATTRIBUTION.md names its author, to be kept with any copy.",
        **({"url": facts["source_url"]} if facts["source_url"].startswith(("https://", "http://")) else {}),
        "version": "0.0.0+" + re.sub(r"[^0-9A-Za-z]+", ".", facts["commit"][:19]).strip("."),
        **date,
        "license": [BY_SPDX[spdx].url for spdx in sorted(facts["licence_mix"]) if spdx in BY_SPDX],
        "creator": [{"@type": "sc:Person", "name": name} for name in sorted(facts["authors"])],
        "citeAs": _bibtex(facts),
        "keywords": ["bioicons", "scientific illustration", "icons", *sorted(facts["categories"])],
        "isLiveDataset": False,
    }


def _bibtex(facts: dict) -> str:
    """The library at its commit; the authors of single icons are in ATTRIBUTION.md."""
    year = f", year = {{{facts['committed_at'][:4]}}}" if facts["committed_at"] else ""
    return (
        f"@misc{{bioicons, title = {{bioicons}}, howpublished = {{{facts['source_url']}}}{year}, "
        f"note = {{commit {facts['commit']}; authors of the icons in ATTRIBUTION.md}}}}"
    )


def _file(shard: Path, name: str) -> dict[str, Any]:
    with shard.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": shard.name,
        "contentUrl": name,
        "contentSize": f"{shard.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": sha256,
    }


def _record_set(shard: Path) -> dict[str, Any]:
    use = "to train on" if shard.name.startswith("train-") else "held out of training"
    return {
        "@type": "cr:RecordSet",
        "@id": shard.stem,
        "name": shard.stem,
        "description": f"Icons of one category, {use}.",
        "field": [_field(shard, column) for column in dataset_schema().names],
    }


def _field(shard: Path, column: str) -> dict[str, Any]:
    kind = "sc:URL" if column in _LINKS else "sc:Integer" if column in _NUMBERS else "sc:Text"
    source: dict[str, Any] = {"fileObject": {"@id": f"data/{shard.name}"}, "extract": {"column": column}}
    more: dict[str, Any] = {}
    if column == "image":
        kind, source["transform"] = "sc:ImageObject", {"jsonPath": "bytes"}
    if column == "captions":
        more["repeated"] = True
    return {
        "@type": "cr:Field",
        "@id": f"{shard.stem}/{column}",
        "name": column,
        "description": FIELDS[column],
        "dataType": kind,
        "source": source,
        **more,
    }
