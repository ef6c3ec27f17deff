"""The contracts in setup.cfg name every module that there is; `lint-imports` holds them."""

import configparser

from bioicons_pipeline_tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "bioicons_pipeline"


def test_no_module_escapes_the_rule_on_dagster():
    """A new verb or room is under it from its first day."""
    contracts = configparser.ConfigParser()
    contracts.read(REPOSITORY / "setup.cfg")
    named = {
        name
        for contract in contracts.values()
        if "dagster" in contract.get("forbidden_modules", "").split()
        for name in contract["source_modules"].split()
    }
    modules = {f"bioicons_pipeline.{path.stem}" for path in PACKAGE.glob("*.py")}
    rooms = {f"bioicons_pipeline.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py")}
    free = {f"bioicons_pipeline.{name}" for name in ("__init__", "definitions", "orchestration")}
    assert (modules | rooms) - free == named
