"""The front door: what it imports, and the graph that it shows."""

import importlib
import json
import subprocess
import sys

import dagster as dg
import pytest

HEAVY = ("torch", "diffusers", "transformers", "peft", "datasets", "boto3", "dagster_aws", "pandas")


def test_loading_the_code_location_imports_nothing_heavy():
    program = (
        "import json, sys; import bioicons_pipeline.definitions as d; "
        "d.defs.resolve_all_job_defs(); "
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_only_orchestration_imports_dagster():
    rooms = (
        "settings errors library library.source library.manifest rendering captioning dataset store "
        "generation.sampler generation.grid training.config training.base_models training.loop"
    )
    program = (
        "import importlib, sys; "
        f"[importlib.import_module('bioicons_pipeline.' + name) for name in {rooms!r}.split()]; "
        "print([name for name in sys.modules if name.split('.')[0] == 'dagster'])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def repository():
    from bioicons_pipeline.definitions import defs

    return defs.get_repository_def()


def test_asset_graph(repository):
    graph = repository.asset_graph
    shape = {
        key.to_user_string(): (
            sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
            graph.get(key).partitions_def.name if graph.get(key).partitions_def else None,
            sorted(graph.get(key).pools or []),
        )
        for key in graph.get_all_asset_keys()
    }
    assert shape == {
        "bioicons_upstream": ([], None, []),
        "curation_rules": ([], None, []),
        "licence_preset": ([], None, []),
        "render_size": ([], None, []),
        "caption_tables": ([], None, []),
        "base_model": ([], None, []),
        "svg_snapshot": (["bioicons_upstream"], None, []),
        "icon_manifest": (["curation_rules", "licence_preset", "svg_snapshot"], "category", []),
        "rasterized_icons": (["icon_manifest", "render_size"], "category", []),
        "icon_captions": (["caption_tables", "icon_manifest", "rasterized_icons"], "category", []),
        "icon_dataset": (
            ["icon_captions", "icon_manifest", "licence_preset", "rasterized_icons"],
            "category",
            [],
        ),
        "training_plan": (["base_model", "icon_dataset"], "category", []),
        "lora_weights": (["base_model", "icon_dataset", "training_plan"], "category", ["gpu"]),
        "sample_grid": (["lora_weights"], "category", ["gpu"]),
        "evaluation_report": (["lora_weights", "sample_grid"], "category", ["gpu"]),
        "library/icon_dataset": (["icon_dataset", "licence_preset", "svg_snapshot"], None, []),
        "library/training_plan": (["base_model", "library/icon_dataset"], None, []),
        "library/lora_weights": (
            ["base_model", "library/icon_dataset", "library/training_plan"],
            None,
            ["gpu"],
        ),
        "library/sample_grid": (["library/lora_weights"], None, ["gpu"]),
        "lora_sweep": (["icon_dataset"], "category", ["gpu"]),
        "library/lora_sweep": (["library/icon_dataset"], None, ["gpu"]),
        "library/evaluation_report": (["library/lora_weights", "library/sample_grid"], None, ["gpu"]),
    }


def test_jobs_schedules_and_checks(repository):
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert jobs == {
        "observe_upstream",
        "refresh_library",
        "build_datasets",
        "build_library_dataset",
        "train_category",
        "train_library",
        "sweep",
        "sweep_library",
        "evaluate_category",
        "evaluate_library",
    }
    assert {schedule.name: schedule.cron_schedule for schedule in repository.schedule_defs} == {
        "observe_upstream_schedule": "0 4 * * 1"
    }
    checks = {key.to_user_string() for key in repository.asset_graph.asset_check_keys}
    assert checks == {
        "icon_manifest:every_included_icon_has_its_credit",
        "icon_manifest:no_duplicate_id",
        "icon_manifest:no_family_is_torn",
        "icon_manifest:no_icon_outside_the_preset",
        "icon_manifest:no_adapter_is_out_of_date",
        "icon_manifest:every_row_fits_the_schema",
        "rasterized_icons:every_picture_is_sound",
        "rasterized_icons:renderers_agree",
        "icon_captions:every_icon_has_a_caption",
        "icon_captions:captions_read_well",
        "icon_dataset:the_counts_are_right",
        "icon_dataset:the_credits_are_complete",
        "icon_dataset:nothing_leaks",
        "library/icon_dataset:every_licence_is_in_the_preset",
        "library/icon_dataset:no_family_on_both_sides",
        "library/icon_dataset:the_library_counts_are_right",
        "library/icon_dataset:the_library_credits_are_complete",
        "lora_weights:the_weights_are_sound",
        "library/lora_weights:fixed_noise_loss_fell",
        "library/lora_weights:the_library_weights_are_sound",
        "evaluation_report:better_than_the_base",
        "evaluation_report:no_copies",
        "evaluation_report:closer_in_style",
        "library/evaluation_report:library_better_than_the_base",
        "library/evaluation_report:library_no_copies",
        "library/evaluation_report:library_closer_in_style",
    }


def test_every_asset_says_what_it_is_and_has_a_code_version(repository):
    for node in repository.asset_graph.asset_nodes:
        assert node.description, node.key
        assert node.code_version or not node.is_materializable, node.key


def test_the_executor_is_bound_where_the_ui_uses_it(repository):
    job = repository.get_implicit_job_def_for_assets([dg.AssetKey("lora_weights")])
    assert job.executor_def.name == "gpu_executor"


def test_what_the_ui_shows_of_every_asset(repository):
    """Groups that sort in the order of the flow, owner, kinds, of observed inputs too; the code version that
    the stage works by."""
    from bioicons_pipeline.orchestration import stages
    from bioicons_pipeline.orchestration.stages.codes import CODE_VERSIONS

    order = ["0_inputs", "1_library", "2_dataset", "3_model", "4_library_wide"]
    graph = repository.asset_graph
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name in order, key
        parents = [graph.get(parent).group_name for parent in node.parent_keys]
        assert all(order.index(parent) <= order.index(node.group_name) for parent in parents), key
        assert set(node.owners) <= {"team:curators", "team:ml_engineers"} and len(node.owners) == 1, key
        assert node.kinds, key
        if node.is_materializable:
            assert node.code_version == CODE_VERSIONS[key.path[-1]], key
    modules = {"icon_manifest": "manifest", "rasterized_icons": "images", "icon_captions": "captions"}
    modules |= {"icon_dataset": "dataset", "lora_weights": "weights", "sample_grid": "grid"}
    modules |= {"evaluation_report": "evaluation", "lora_sweep": "sweep"}
    for stage, module in modules.items():
        loaded = importlib.import_module(f"{stages.__name__}.{module}")
        assert CODE_VERSIONS[stage] == loaded.CODE_VERSION


def test_columns_of_the_dataset_and_where_they_come_from():
    from bioicons_pipeline.dataset.schema import dataset_schema
    from bioicons_pipeline.library.records import COLUMNS
    from bioicons_pipeline.orchestration.looks import DATASET_LINEAGE, DATASET_SCHEMA

    assert [column.name for column in DATASET_SCHEMA.columns] == dataset_schema().names
    assert set(DATASET_LINEAGE.deps_by_column) == set(dataset_schema().names)
    for sources in DATASET_LINEAGE.deps_by_column.values():
        assert {source.column_name for source in sources} <= set(COLUMNS)


def test_every_step_ends_with_its_run(repository):
    """The resource that sees to it is required by every asset and every check."""
    graph = repository.asset_graph
    assert {key for each in graph.assets_defs for key in each.check_keys} == set(graph.asset_check_keys)
    for definition in graph.assets_defs:
        if definition.is_materializable or definition.check_keys:
            assert "artifacts" in definition.required_resource_keys, definition


def test_trainings_have_a_limit_and_are_retried(repository):
    for job in ("train_category", "train_library", "sweep", "sweep_library"):
        tags = repository.get_job(job).tags
        assert float(tags["dagster/max_runtime"]) == 48 * 3600 and int(tags["dagster/max_retries"]) >= 3
    for definition in repository.asset_graph.assets_defs:
        if definition.keys and definition.is_materializable:
            assert definition.op.retry_policy and definition.op.retry_policy.max_retries == 2, definition


AWS = {
    "BIOICONS_DEPLOYMENT": "aws",
    "BIOICONS_STORE_ROOT": "s3://bucket/store",
    "BIOICONS_ECS_CLUSTER": "lab",
    "BIOICONS_ECS_TASK_DEFINITION": "trainer",
    "BIOICONS_ECS_CAPACITY_PROVIDER": "gpu",
}
AUTOMATION = """
import json, sys
from bioicons_pipeline.definitions import defs
repository = defs.get_repository_def()
print(json.dumps({one.name: one.default_status.value for one in
                  [*repository.schedule_defs, *repository.sensor_defs]}))
"""


@pytest.mark.parametrize(
    ("setting", "runs"),
    [({}, False), ({"BIOICONS_AUTOMATION": "true"}, True), (AWS, True),
     (AWS | {"BIOICONS_AUTOMATION": "false"}, False)],
)  # fmt: skip
def test_automation_runs_on_aws_and_is_one_setting_away_elsewhere(setting, runs, monkeypatch):
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AUTOMATION], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == dict.fromkeys(
        ("observe_upstream_schedule", "watch_edited_inputs", "rebuild_and_retrain"),
        "RUNNING" if runs else "STOPPED",
    )
