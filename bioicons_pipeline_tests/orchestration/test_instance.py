"""The command line and a `dagster dev` with DAGSTER_HOME in the data folder share history and pool."""

import dagster as dg

from bioicons_pipeline.orchestration.instance import shared_instance
from bioicons_pipeline.orchestration.recovery import LocalRunLauncher
from bioicons_pipeline.settings import Settings


def test_the_ui_with_this_home_sees_what_the_command_line_did(tmp_path, monkeypatch):
    settings = Settings(data_dir=tmp_path / "data")
    with shared_instance(settings) as instance:
        instance.add_dynamic_partitions("category", ["Animals"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(settings.dagster_dir))
    with dg.DagsterInstance.get() as ui:
        assert ui.get_dynamic_partitions("category") == ["Animals"]
        assert isinstance(ui.run_launcher, LocalRunLauncher) and not ui.nux_enabled
        assert ui.global_op_concurrency_default_limit == 1
