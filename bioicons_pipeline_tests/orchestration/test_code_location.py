"""The front door: what it imports, and the graph that it shows."""

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
        "svg_snapshot": ([], None, []),
        "icon_manifest": (["svg_snapshot"], "category", []),
        "rasterized_icons": (["icon_manifest"], "category", []),
        "icon_captions": (["rasterized_icons"], "category", []),
        "icon_dataset": (["icon_captions", "rasterized_icons"], "category", []),
        "lora_weights": (["icon_dataset"], "category", ["gpu"]),
        "sample_grid": (["lora_weights"], "category", ["gpu"]),
        "evaluation_report": (["lora_weights", "sample_grid"], "category", ["gpu"]),
        "library/icon_dataset": (["icon_dataset"], None, []),
        "library/lora_weights": (["library/icon_dataset"], None, ["gpu"]),
        "library/sample_grid": (["library/lora_weights"], None, ["gpu"]),
        "lora_sweep": (["icon_dataset"], "category", ["gpu"]),
        "library/lora_sweep": (["library/icon_dataset"], None, ["gpu"]),
        "library/evaluation_report": (["library/lora_weights", "library/sample_grid"], None, ["gpu"]),
    }


def test_jobs_schedules_and_checks(repository):
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert jobs == {
        "refresh_library",
        "build_datasets",
        "build_library_dataset",
        "train_category",
        "train_library",
        "sweep_category",
        "sweep_library",
        "evaluate_category",
        "evaluate_library",
    }
    assert {schedule.name: schedule.cron_schedule for schedule in repository.schedule_defs} == {
        "weekly_refresh": "0 4 * * 1"
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
    for spec in repository.asset_graph.assets_defs:
        for key in spec.keys:
            assert spec.descriptions_by_key[key], key
            assert spec.code_versions_by_key[key], key


def test_the_executor_is_bound_where_the_ui_uses_it(repository):
    job = repository.get_implicit_job_def_for_assets([dg.AssetKey("lora_weights")])
    assert job.executor_def.name == "gpu_executor"
