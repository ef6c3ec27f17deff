"""A data folder of its own and an instance on it, for tests that run jobs."""

import pytest

from bioicons_pipeline.settings import Settings, get_settings


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    """Settings whose data folder is the test's own; child processes see them through the environment."""
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BIOICONS_RENDER_SIZE", "128")
    monkeypatch.setenv("BIOICONS_SOURCE", "starter")
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()
