"""The one persistent Dagster instance that the command line and `dagster dev` share.

The shipped `dagster.yaml` is in the repository root (inside this package in a wheel). It names its
folders relative to the working directory, because `dagster dev` without DAGSTER_HOME reads the
`dagster.yaml` of the folder it is started in; here the same file is loaded with absolute folders.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.instance import InstanceRef

from bioicons_pipeline.settings import Settings
from bioicons_pipeline.whole import write_whole

_WRITTEN = """\
# Written by `bioicons`, from the dagster.yaml of bioicons_pipeline: changes here are lost.
# For an instance of your own set DAGSTER_HOME to a folder with a dagster.yaml of yours.
"""


def dagster_yaml() -> Path:
    """Where the shipped `dagster.yaml` lies: in the package (wheel) or the repository root."""
    packaged = Path(__file__).with_name("dagster.yaml")
    return packaged if packaged.is_file() else Path(__file__).resolve().parents[2] / "dagster.yaml"


@contextmanager
def shared_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance under `DAGSTER_HOME` if that is set, else the one in the data folder."""
    if os.environ.get("DAGSTER_HOME"):
        with dg.DagsterInstance.get() as instance:
            yield instance
        return
    home = settings.dagster_dir
    home.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(dagster_yaml().read_text(encoding="utf-8"))
    config["storage"]["sqlite"]["base_dir"] = str(home / "storage")
    config["local_artifact_storage"]["config"]["base_dir"] = str(home / "artifacts")
    config["compute_logs"]["config"]["base_dir"] = str(home / "compute_logs")
    (home / "artifacts").mkdir(exist_ok=True)
    _write(home / "dagster.yaml", config)
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=config)) as instance:
        yield instance


def _write(path: Path, config: dict) -> None:
    """Leave the instance's configuration in its folder, for a `dagster dev` with DAGSTER_HOME there: without
    it that one would keep a history of its own, and let trainings run at once."""
    text = f"{_WRITTEN}{yaml.safe_dump(config, sort_keys=False)}"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text.encode())
