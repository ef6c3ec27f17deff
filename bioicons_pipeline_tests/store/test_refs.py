"""Refs: set, read, listed, deleted, under any name."""

import json
import unicodedata
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bioicons_pipeline.store import Store, StoreError
from bioicons_pipeline.store.names import quote_name

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)
HOSTILE = [
    *(
        ".",
        "..",
        "../..",
        "/",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "a\0b",
        " ",
        "a b",
        "~",
        "a~b",
        "%2F",
        "CON",
        "-rf",
    ),
    *(
        ".tmp-1-x",
        "x.json",
        "x.JSON",
        "x.",
        "caf\u00e9",
        "cafe\u0301",
        "细胞",
        "Human_physiology",
        "FLUX.1-dev",
    ),
    *("\n", "x" * 199, "x" * 201, "x" * 5000, "é" * 150, "é" * 151, "__all__x", "🧬", ":", "*", "a" * 255),
]


@pytest.fixture
def versions(store):
    return [store.commit({"n": b"%d" % number}) for number in range(3)]


def test_a_ref_shows_what_was_set_last(store, versions):
    assert store.get_ref("icon_dataset", partition="Animals") is None
    for number, version in enumerate(versions):
        written = store.set_ref(
            "icon_dataset", version.id, partition="Animals", info={"n": number, "ä": [1.5]}
        )
        ref = Store(str(store.root)).get_ref("icon_dataset", partition="Animals")
        assert ref == written
        assert (ref.version_id, ref.info) == (version.id, {"n": number, "ä": [1.5]})
        age = datetime.now(UTC) - datetime.fromisoformat(ref.written_at)
        assert timedelta(seconds=-1) < age < timedelta(minutes=5)


def test_assets_partitions_and_bases_are_apart(store, versions):
    places = [
        {"asset": "a"},
        {"asset": "a", "partition": "x"},
        {"asset": "a", "base": "x"},
        {"asset": "a", "base": "x", "partition": "x"},
        {"asset": "a", "base": "x.json", "partition": "x"},
        {"asset": "b", "partition": "x"},
        {"asset": "a/x", "partition": "x"},
    ]
    for number, place in enumerate(places):
        store.set_ref(version_id=versions[number % 3].id, info={"place": number}, **place)
    for number, place in enumerate(places):
        assert store.get_ref(**place).info == {"place": number}
    assert {name: ref.info["place"] for name, ref in store.list_refs("a").items()} == {"__all__": 0, "x": 1}
    assert {name: ref.info["place"] for name, ref in store.list_refs("a", "x").items()} == {
        "__all__": 2,
        "x": 3,
    }
    assert store.list_refs("a", base="none") == {}
    assert store.list_bases("a") == ["x", "x.json"] and store.list_bases("b") == []
    assert store.delete_ref("a", partition="x") and not store.delete_ref("a", partition="x")
    assert store.get_ref("a", partition="x") is None
    assert store.get_ref("a", base="x", partition="x").info == {"place": 3}


def test_files_are_where_the_design_says(local):
    version = local.commit({"n": b"1"})
    local.set_ref("icon_manifest", version.id)
    local.set_ref("icon_manifest", version.id, partition="Human_physiology")
    local.set_ref("lora_weights", version.id, partition="Cell lines", base="FLUX.1-dev")
    found = sorted(
        path.relative_to(local.root / "refs").as_posix() for path in local.root.glob("refs/**/*.json")
    )
    assert found == [
        "icon_manifest/Human_physiology.json",
        "icon_manifest/__all__.json",
        "lora_weights/FLUX.1-dev/Cell%20lines.json",
    ]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_stay_inside_and_come_back(tmp_path, hostile):
    store = Store(tmp_path / "in" / "store")
    version = store.commit({"n": b"1"})
    store.set_ref(hostile, version.id, partition=hostile, base=hostile, info={"name": hostile})
    assert store.get_ref(hostile, partition=hostile, base=hostile).info == {"name": hostile}
    assert list(store.list_refs(hostile, hostile)) == [hostile] == store.list_bases(hostile)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["store"]
    assert {path.name for path in store.root.iterdir()} == {"blobs", "versions", "refs"}
    (written,) = (path.relative_to(store.root / "refs") for path in store.root.glob("refs/*/*/*"))
    assert len(written.parts) == 3


@given(st.sets(NAMES, max_size=4))
@example({"é", "e\u0301", ".", "..", "a/b", "%2E", "a%2Fb"})
@example({"x" * 300, "x" * 301, quote_name("x" * 300)})
@settings(max_examples=80, deadline=None)
def test_any_set_of_names_round_trips(names):
    store = Store(f"memory://{uuid.uuid4().hex}")
    version = store.commit({})
    for name in names:
        store.set_ref("asset", version.id, partition=name, info={"name": name})
    listed = store.list_refs("asset")
    assert {partition: ref.info["name"] for partition, ref in listed.items()} == {
        name: name for name in names
    }


@given(NAMES)
@settings(max_examples=300)
def test_quoted_names_are_plain_file_names(name):
    quoted = quote_name(name)
    assert quoted.isascii() and not set(quoted) & set('/\\\0 :*?"<>|\n')
    assert 0 < len(quoted) <= 200
    assert quoted[0] != "." and quoted[-1] != "." and not quoted.lower().endswith(".json")
    assert "~" in quoted or unquote(quoted) == name


@given(NAMES, NAMES)
@settings(max_examples=200)
def test_different_names_have_different_files(one, other):
    pairs = [
        (one, other),
        (one, one + other),
        (other, unicodedata.normalize("NFD", other)),
        (one, quote_name(one)),
    ]
    for first, second in pairs:
        assert (quote_name(first) == quote_name(second)) == (first == second)


@pytest.mark.parametrize("bad", ["", "\ud800"])
def test_names_that_are_no_names(store, versions, bad):
    for place in ({"asset": bad}, {"asset": "a", "base": bad}):
        with pytest.raises(StoreError):
            store.set_ref(version_id=versions[0].id, **place)


def test_a_ref_never_leads_nowhere(store, versions):
    for bad in ("0" * 64, "../x", ""):
        with pytest.raises(StoreError):
            store.set_ref("a", bad)
    assert store.get_ref("a") is None


def test_info_that_is_no_json_changes_nothing(store, versions):
    ref = store.set_ref("a", versions[0].id)
    for bad in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises((TypeError, ValueError)):
            store.set_ref("a", versions[1].id, info=bad)
    assert store.get_ref("a") == ref


def test_damaged_refs_are_named_and_can_be_set_again(local):
    version = local.commit({"n": b"1"})
    local.set_ref("a", version.id, partition="x")
    path = local.root / "refs" / "a" / "x.json"
    honest = json.loads(path.read_bytes())
    for damaged in (b"", b"{", b"[]", b"\xff", json.dumps({**honest, "version_id": "../../x"}).encode()):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"refs/a/x\.json"):
            local.get_ref("a", partition="x")
        with pytest.raises(StoreError, match=r"refs/a/x\.json"):
            local.list_refs("a")
        assert local.set_ref("a", version.id, partition="x") == local.get_ref("a", partition="x")


def test_names_that_the_file_system_confuses_are_refused(local):
    """As on a file system that ignores case: the file of `animals` is found to be that of `Animals`."""
    version = local.commit({"n": b"1"})
    local.set_ref("a", version.id, partition="Animals")
    folder = local.root / "refs" / "a"
    (folder / "Animals.json").rename(folder / "animals.json")
    for attempt in (local.get_ref, lambda *args, **name: local.set_ref("a", version.id, **name)):
        with pytest.raises(StoreError, match=r"'Animals'.*'animals'"):
            attempt("a", partition="animals")
    assert local.list_refs("a") == {}


def test_foreign_files_are_no_refs(local):
    version = local.commit({"n": b"1"})
    local.set_ref("a", version.id, partition="x")
    folder = local.root / "refs" / "a"
    for name in (".DS_Store", "x.json.bak", "x (copy).json"):
        (folder / name).write_bytes((folder / "x.json").read_bytes())
    (folder / "._x.json").write_bytes(b"AppleDouble")  # macOS, on file systems that are not its own
    (folder / "folder.json").mkdir()
    assert list(local.list_refs("a")) == ["x"]
