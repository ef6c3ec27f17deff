"""The short version of `kill_test`: the starter library, the training and then everything killed."""

import pytest

from bioicons_pipeline_tests.end_to_end import kill_test


@pytest.mark.timeout(1800)
def test_killed_at_random_moments_it_makes_the_same(tmp_path):
    arguments = kill_test.brief("starter", steps=70, until="lora_weights")
    expected, seconds = kill_test.undisturbed(tmp_path / "undisturbed", arguments)
    assert len(expected) >= 7
    roles = ("trainer", "all")
    report = kill_test.disturbed(tmp_path, arguments, expected, seconds, kills=2, seed=5, roles=roles)
    assert not report.faults, report
    assert [role for role, _ in report.kills] == list(roles)
