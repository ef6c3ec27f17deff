"""Dagster's history in a real PostgreSQL, by the `dagster.postgres.yaml` that deploy/aws ships."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from bioicons_pipeline_tests.conftest import REPOSITORY
from bioicons_pipeline_tests.end_to_end.conftest import bioicons
from bioicons_pipeline_tests.end_to_end.test_dagster_dev import Dev
from bioicons_pipeline_tests.end_to_end.test_dagster_dev import (
    test_backfill_all_categories_of_the_cheap_stages_as_one_run as backfill_and_look,
)
from bioicons_pipeline_tests.end_to_end.test_dagster_dev import (
    test_each_partition_has_its_own_data_version_and_is_fresh as look_at_versions,
)
from bioicons_pipeline_tests.orchestration.conftest import CATEGORIES, Place, write_library
from bioicons_pipeline_tests.postgres_server import PASSWORD, postgres

pytestmark = pytest.mark.postgres
SHIPPED = REPOSITORY / "deploy" / "aws" / "dagster.postgres.yaml"


@pytest.fixture
def server(monkeypatch):
    with postgres() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment


def home_of(folder: Path) -> Path:
    """A DAGSTER_HOME as on the box, its folders moved to `folder`."""
    config = yaml.safe_load(SHIPPED.read_text("utf-8"))
    for part in ("local_artifact_storage", "compute_logs"):
        config[part]["config"]["base_dir"] = str(folder / part)
    (folder / "local_artifact_storage").mkdir(parents=True)
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    return folder


def psql(environment: dict[str, str], query: str) -> str:
    """What the server itself says."""
    import psycopg2

    names = {"host": "HOST", "port": "PORT", "dbname": "DB", "user": "USER", "password": "PASSWORD"}
    how = {name: environment[f"DAGSTER_POSTGRES_{part}"] for name, part in names.items()}
    connection = psycopg2.connect(**how)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return json.dumps(cursor.fetchall())
    finally:
        connection.close()


def test_what_is_materialized_is_read_back_by_another_process(server, tmp_path):
    """The storage comes up empty; the library is looked at and its manifest made for two categories in one
    run; a second process finds each partition with its own version; the password is nowhere in sight."""
    write_library(tmp_path / "icons")
    place = Place(tmp_path)
    home = home_of(tmp_path / "home")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        place.instance = instance
        assert place.run("refresh_library").success
        assert place.run("build_datasets", *CATEGORIES, only=("icon_manifest",)).success
        assert PASSWORD not in instance.info_str()
    program = (
        "import dagster as dg, json, sys\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    found = {}\n"
        "    for category in sys.argv[1:]:\n"
        "        wanted = dg.EventRecordsFilter(event_type=dg.DagsterEventType.ASSET_MATERIALIZATION,\n"
        "            asset_key=dg.AssetKey('icon_manifest'), asset_partitions=[category])\n"
        "        (record, *_) = instance.get_event_records(wanted, limit=1)\n"
        "        found[category] = record.asset_materialization.tags['dagster/data_version']\n"
        "    print(json.dumps([type(instance.event_log_storage).__name__, found]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *CATEGORIES],
        env={**os.environ, "DAGSTER_HOME": str(home)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    storage, versions = json.loads(done.stdout)
    assert storage == "PostgresEventLogStorage"
    assert versions == {
        category: place.store.get_ref("icon_manifest", partition=category).version_id
        for category in CATEGORIES
    }
    assert json.loads(psql(server, "select count(*) from runs where status = 'SUCCESS'")) == [[2]]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_backfill_of_the_cheap_stages(server, tmp_path, monkeypatch):
    """The test of `dagster dev`, daemon and all, with nothing changed but the storage."""
    home = home_of(tmp_path / "home")
    shutil.copy(REPOSITORY / "workspace.yaml", tmp_path / "workspace.yaml")
    done = bioicons(
        "run", "--source", "starter", "--until", "svg_snapshot",
        data=tmp_path / "data", DAGSTER_HOME=str(home),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    running = Dev(tmp_path)
    shutil.copy(home / "dagster.yaml", tmp_path / "dagster.yaml")  # `dagster dev` reads that of its folder
    running.start()
    try:
        backfill_and_look(running)
        look_at_versions(running)
    finally:
        running.stop()
    runs = json.loads(psql(server, "select pipeline_name, status from runs order by id"))
    assert runs[0] == ["refresh_library", "SUCCESS"] and ["__ASSET_JOB", "SUCCESS"] in runs
    assert not list(tmp_path.rglob("*.db"))  # no SQLite beside it
