"""The short version of `kill_test`: the starter library, two kills, the same artifacts in the end."""

import pytest

from bioicons_pipeline_tests.end_to_end import kill_test


@pytest.mark.timeout(1800)
def test_killed_at_random_moments_it_makes_the_same(tmp_path):
    arguments = kill_test.brief("starter", steps=70, until="lora_weights")
    expected, seconds = kill_test.undisturbed(tmp_path / "undisturbed", arguments)
    assert len(expected) >= 7
    report = kill_test.disturbed(tmp_path, arguments, expected, seconds, kills=2, seed=5)
    assert not report.faults, report
    assert len(report.kills) == 2
