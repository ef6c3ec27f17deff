"""dataset: records, pictures and captions become a Hugging Face dataset that carries its own credits.

Belongs here: the Parquet shards, the dataset card, the credits beside them. Does not belong here: which
icons are in (library/), how they look (rendering/), what they are called (captioning/).

Shards are named by category and split (`data/train-animals.parquet`, or `data/train-animals_01.parquet` of
a large category), so the library-wide dataset is the union of the categories' own shards, byte for byte,
under one card.
"""

from bioicons_pipeline.dataset.build import DatasetInfo, DatasetRow, write_card, write_shards
from bioicons_pipeline.dataset.croissant import croissant, write_croissant
from bioicons_pipeline.dataset.export import FORMATS, ExportError, check_export, export_dataset, icons_of
from bioicons_pipeline.dataset.publish import PublishPlan, PublishRefusedError, plan_publish, publish_dataset
from bioicons_pipeline.dataset.schema import SPLITS, dataset_schema
from bioicons_pipeline.dataset.sharding import SHARD_ROWS, shard_name, shards_of
from bioicons_pipeline.dataset.weights import Weights, sampling_weights

__all__ = [
    "FORMATS",
    "SHARD_ROWS",
    "SPLITS",
    "DatasetInfo",
    "DatasetRow",
    "ExportError",
    "PublishPlan",
    "PublishRefusedError",
    "Weights",
    "check_export",
    "croissant",
    "dataset_schema",
    "export_dataset",
    "icons_of",
    "plan_publish",
    "publish_dataset",
    "sampling_weights",
    "shard_name",
    "shards_of",
    "write_card",
    "write_croissant",
    "write_shards",
]
