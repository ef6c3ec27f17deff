"""Two trainings started at once run one after the other, because the pool `gpu` has one slot."""

import itertools
import subprocess
import sys

import dagster as dg

from bioicons_pipeline.orchestration.instance import shared_instance
from bioicons_pipeline.orchestration.pipeline import Options, run_pipeline

TRAIN = """
import sys, warnings
warnings.filterwarnings("ignore")
from bioicons_pipeline.orchestration.instance import shared_instance
from bioicons_pipeline.orchestration.launch import execute
from bioicons_pipeline.settings import get_settings
if __name__ == "__main__":
    training = {"steps": 2, "overrides": '{"warmup_steps": 0}'}
    ops = {"lora_weights": {"config": training}, "sample_grid": {"config": {"steps": 1}}}
    with shared_instance(get_settings()) as instance:
        print(execute(instance, "train_category", {"ops": ops}, tags={"dagster/partition": sys.argv[1]}))
"""


def intervals(instance: dg.DagsterInstance, run_id: str) -> list[tuple[float, float]]:
    """When each step of a run held its process: start and end."""
    starts, ends = {}, {}
    for record in instance.get_records_for_run(run_id).records:
        entry = record.event_log_entry
        if entry.is_dagster_event and entry.step_key in ("lora_weights", "sample_grid"):
            kind = entry.get_dagster_event().event_type_value
            if kind == "STEP_START":
                starts[entry.step_key] = entry.timestamp
            elif kind in ("STEP_SUCCESS", "STEP_FAILURE"):
                ends[entry.step_key] = entry.timestamp
    assert set(starts) == set(ends) == {"lora_weights", "sample_grid"}
    return [(starts[key], ends[key]) for key in starts]


def test_two_trainings_at_once_run_one_after_the_other(settings, tmp_path):
    categories = ("Animals", "Cell_types")
    with shared_instance(settings) as instance:
        for category in categories:
            run_pipeline(
                settings, Options("starter", None, category, "flux-tiny", until="icon_dataset"), instance
            )
        program = tmp_path / "train.py"
        program.write_text(TRAIN)
        both = [
            subprocess.Popen(
                [sys.executable, str(program), category],
                stdout=subprocess.PIPE,
                stderr=(tmp_path / f"{category}.log").open("w"),
                text=True,
            )
            for category in categories
        ]
        runs = [process.communicate(timeout=500)[0].strip().splitlines()[-1] for process in both]
        assert [process.returncode for process in both] == [0, 0]
        held = sorted(interval for run_id in runs for interval in intervals(instance, run_id))
    assert len(held) == 4
    # They were started together: the second run began before the first had ended …
    with shared_instance(settings) as instance:
        stats = [instance.get_run_stats(run_id) for run_id in runs]
    assert max(stat.start_time for stat in stats) < min(stat.end_time for stat in stats)
    # … and yet no two of the four GPU steps overlap.
    for (_, end), (start, _) in itertools.pairwise(held):
        assert end <= start


def test_the_pool_is_limited_by_the_shipped_instance(settings):
    with shared_instance(settings) as instance:
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
