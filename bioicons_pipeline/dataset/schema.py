"""Columns and splits of the dataset.

The Arrow schema carries the `huggingface` metadata key that the datasets library writes itself, so that
`datasets.load_dataset(folder)` decodes the `image` column without any code of ours
(https://huggingface.co/docs/datasets/about_dataset_features).
"""

import json

import pyarrow as pa

SPLITS = ("train", "heldout")

_STRINGS = (
    "caption",
    "icon_id",
    "sha256",
    "name",
    "category",
    "author",
    "author_url",
    "spdx",
    "licence_url",
    "source_url",
    "family_id",
)


def dataset_schema() -> pa.Schema:
    """The Arrow schema of a shard: PNG bytes, captions, and who made the icon under which licence."""
    fields = [
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("caption", pa.string()),
        pa.field("captions", pa.list_(pa.string())),
        *(pa.field(name, pa.string()) for name in _STRINGS[1:]),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
    ]
    text = {"dtype": "string", "_type": "Value"}
    features: dict[str, object] = {field.name: text for field in fields}
    features["image"] = {"_type": "Image"}
    features["captions"] = {"feature": text, "_type": "List"}
    features["width"] = features["height"] = {"dtype": "int32", "_type": "Value"}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
