"""Versions of what people edit: the same in every process, else each look at an input would be an edit."""

import os
import subprocess
import sys

from bioicons_pipeline.library.licences import PRESETS
from bioicons_pipeline.orchestration.stages import inputs

VERSIONS = """
from bioicons_pipeline.library.licences import PRESETS
from bioicons_pipeline.orchestration.stages import inputs
print(inputs.curation_version(""), inputs.tables_version(), *map(inputs.licence_version, PRESETS))
"""


def test_two_processes_see_the_same_versions():
    """Observations and the sensor run in processes of their own, whose sets are ordered differently."""
    said = [
        subprocess.run(
            [sys.executable, "-c", VERSIONS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert said[0] == said[1] and len(said[0]) == 2 + len(PRESETS)


def test_every_preset_has_a_version_of_its_own():
    assert len({inputs.licence_version(preset) for preset in PRESETS}) == len(PRESETS)
