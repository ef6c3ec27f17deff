"""bioicons_pipeline: from the open bioicons library to a dataset, a LoRA and new scientific icons.

Nothing is imported here, so that `import bioicons_pipeline.definitions` costs what dagster costs.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("bioicons-pipeline")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
