"""What an environment says that no shell has looked at: empty values, and `~`."""

from pathlib import Path

import pytest

from bioicons_pipeline.settings import Settings


def test_an_empty_variable_is_as_one_that_is_not_set(monkeypatch):
    unset = Settings()
    for name in set(Settings.model_fields) - {"ecs_instance_metadata"}:
        monkeypatch.setenv(f"BIOICONS_{name.upper()}", "")
    assert Settings() == unset and Settings().curation is None
    assert Settings().resolved_store_root == str(Path("data/store").absolute())


def test_an_empty_metadata_service_is_not_asked(monkeypatch):
    monkeypatch.setenv("BIOICONS_ECS_INSTANCE_METADATA", "")
    assert Settings().ecs_instance_metadata == ""


@pytest.mark.parametrize(
    ("value", "place"), [("~/there", "/home/ann/there"), ("~nobody-here/x", "~nobody-here/x")]
)
def test_a_tilde_is_the_home_folder(monkeypatch, value, place):
    monkeypatch.setenv("HOME", "/home/ann")
    for name in ("STORE_ROOT", "CURATION", "DATA_DIR"):
        monkeypatch.setenv(f"BIOICONS_{name}", value)
    settings = Settings()
    assert settings.resolved_store_root == str(Path(place).absolute()) == str(settings.root)
    assert settings.curation == Path(place)


def test_a_url_is_no_path(monkeypatch):
    monkeypatch.setenv("BIOICONS_STORE_ROOT", "s3://bucket/~/x")
    assert Settings().resolved_store_root == "s3://bucket/~/x"
