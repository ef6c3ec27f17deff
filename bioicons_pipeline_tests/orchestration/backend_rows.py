"""What every backend that trains elsewhere does alike, whatever it asks of whom: one row of behaviour a test.

Belongs here: rows that name no service. A module of tests has a fixture `cloud` (function (*faults) → Cloud
of `test_ecs`) and a class of these rows that says how its service words things.
"""

import re

import dagster as dg
import pytest

from bioicons_pipeline.store.s3 import S3Backend


def materialized(result) -> tuple[str, int]:
    (event,) = result.get_asset_materialization_events()
    found = event.materialization
    return found.tags["dagster/data_version"], found.metadata["resumed_from"].value


def failure(result) -> str:
    assert not result.success and not result.get_asset_materialization_events()
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data
    return data.user_failure_data.description if data.user_failure_data else data.error.to_string()


class Rows:
    """refusal: pattern of what is said where no host is to be had; lost: words for a host that is gone."""

    refusal: str
    lost: str

    @pytest.mark.parametrize(
        ("fault", "sentence"),
        [
            ("exit 1", "The training of Cell_types ended with exit code 1"),
            ("kill", "The training of Cell_types ended with exit code 137"),
            ("silent end", "The training of Cell_types ended without saying what it committed"),
            ("lie", "says that it committed version 000.*which is not whole in the store"),
            ("no capacity", None),
        ],
    )
    def test_an_end_that_is_no_success(self, cloud, fault, sentence):
        made = cloud(fault)
        result = made.train(dg.DagsterInstance.ephemeral())
        assert re.search(sentence or self.refusal, failure(result)), (failure(result), made.ecs.logs())
        assert list(S3Backend(made.root).keys("pipes")) == []

    def test_what_the_trainer_has_to_say_comes_through(self, cloud):
        made = cloud()
        made.request = made.request.model_copy(update={"base": "no-such-base"})
        result = made.train(dg.DagsterInstance.ephemeral())
        assert "no-such-base" in failure(result) and "exit code" not in failure(result)

    def test_hosts_that_are_lost_every_time(self, cloud):
        made = cloud(*["no exit code, kill"] * 5)
        result = made.train(dg.DagsterInstance.ephemeral())
        assert len(made.asked) == 1 + made.backend.retries
        assert self.lost in failure(result)
