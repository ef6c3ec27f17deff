"""The cache: by content, whole entries only, and no worker while it answers."""

import time

import pytest

from bioicons_pipeline.rendering import RenderCache, RenderResult, RenderSettings, render_many
from bioicons_pipeline.rendering.cache import CacheError
from bioicons_pipeline.rendering.result import MACHINE_DEPENDENT
from bioicons_pipeline_tests.rendering.hostile import RECT, laughs, svg
from bioicons_pipeline_tests.rendering.test_sandbox import SLOW, icon

SETTINGS = RenderSettings(size=32)
FILES = [
    ("a", svg(RECT).encode()),
    ("b", icon(3)),
    ("bomb", laughs(12, 10).encode()),
    ("void", svg("").encode()),
]


def forbid_workers(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a worker was started")

    monkeypatch.setattr("bioicons_pipeline.rendering.pool.Worker", refuse)


def test_nothing_is_rendered_twice(tmp_path, monkeypatch):
    cache = RenderCache(tmp_path)
    first = list(render_many(FILES, SETTINGS, cache=cache, workers=1))
    forbid_workers(monkeypatch)
    moved = [(f"another/category/{key}", data) for key, data in reversed(FILES)]
    again = list(render_many(moved, SETTINGS, cache=cache))
    for old, new in zip(reversed(first), again, strict=True):
        assert new == old.with_key(f"another/category/{old.key}"), "refusals are remembered too"


def test_other_settings_or_bytes_are_other_entries(tmp_path, monkeypatch):
    cache = RenderCache(tmp_path)
    list(render_many(FILES[:1], SETTINGS, cache=cache, workers=1))
    forbid_workers(monkeypatch)
    for svg_bytes, settings in ((FILES[0][1], RenderSettings(size=33)), (FILES[0][1] + b" ", SETTINGS)):
        with pytest.raises(AssertionError, match="a worker was started"):
            list(render_many([("a", svg_bytes)], settings, cache=cache, workers=1))


def test_the_code_version_and_the_packages_are_part_of_the_address(monkeypatch):
    before = SETTINGS.key()
    monkeypatch.setattr("bioicons_pipeline.rendering.settings.CODE_VERSION", -1)
    after = SETTINGS.key()
    assert after != before
    monkeypatch.setattr("bioicons_pipeline.rendering.settings.renderer_versions", lambda: "resvg 99")
    assert SETTINGS.key() not in (before, after)


def test_a_damaged_entry_is_rendered_again(tmp_path):
    cache = RenderCache(tmp_path)
    (first,) = render_many(FILES[:1], SETTINGS, cache=cache, workers=1)
    (entry,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    whole = entry.read_bytes()
    for damage in (whole[:-5], b"", whole[:200] + b"x" + whole[201:]):
        entry.write_bytes(damage)
        (again,) = render_many(FILES[:1], SETTINGS, cache=cache, workers=1)
        assert again == first
        assert entry.read_bytes() == whole


def test_what_another_run_might_not_repeat_is_not_kept(tmp_path):
    settings = RenderSettings(size=32, time_limit=0.3)
    (result,) = render_many([("s", SLOW)], settings, cache=RenderCache(tmp_path), workers=1)
    assert result.refusal == "time_out" and result.refusal in MACHINE_DEPENDENT
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_any_object_with_get_and_put_is_a_cache():
    class Memory(dict):
        put = dict.__setitem__

    memory = Memory()
    (first,) = render_many(FILES[:1], SETTINGS, cache=memory, workers=1)
    assert len(memory) == 1 and RenderResult.unpack(next(iter(memory.values())), "a") == first


def test_progress_is_told_for_every_icon(tmp_path):
    told = []
    cache = RenderCache(tmp_path)
    for source in (FILES, (pair for pair in FILES)):
        list(render_many(source, SETTINGS, cache=cache, workers=1, progress=lambda *p: told.append(p)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4), (1, 0), (2, 0), (3, 0), (4, 0)]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CacheError, match="No space"):
        RenderCache(tmp_path).put("ab" * 32, b"data")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_warm_run_is_fast(tmp_path):
    cache = RenderCache(tmp_path)
    list(render_many(FILES, RenderSettings(), cache=cache, workers=1))
    started = time.perf_counter()
    list(render_many(FILES * 25, RenderSettings(), cache=cache))
    assert (time.perf_counter() - started) / 100 < 0.01
