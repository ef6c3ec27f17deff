"""What a failed job is to the command line: something to mend, or a bug."""

from pathlib import Path

import dagster as dg
import pytest

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.launch import failure_of
from bioicons_pipeline.orchestration.reporting import user_errors


class NoSourceError(BioiconsError):
    """One of the many kinds there are."""


@pytest.mark.parametrize(
    ("raised", "exit_code", "said"),
    [
        (NoSourceError("There is no library: give another."), 2, "There is no library: give another."),
        (ValueError("index 3 is out of range"), 1, "failed unexpectedly (ValueError: index 3"),
    ],
)
def test_only_a_bug_exits_with_1(raised, exit_code, said):
    @dg.op
    def fetch():
        with user_errors():
            raise raised

    @dg.job
    def fetching():
        fetch()

    with dg.DagsterInstance.ephemeral() as instance:
        run = fetching.execute_in_process(instance=instance, raise_on_error=False)
        failed = failure_of(instance, run.run_id)
    assert (failed.exit_code, said in str(failed)) == (exit_code, True), failed
    with_log = failed.with_log(Path("run.log"))
    assert with_log.exit_code == exit_code and str(with_log).endswith("(log: run.log)")
