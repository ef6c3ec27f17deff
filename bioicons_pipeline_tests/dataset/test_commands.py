"""`bioicons export dataset` and `bioicons publish dataset`, as a user types them."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from bioicons_pipeline import cli, cli_dataset
from bioicons_pipeline.orchestration.stages import gone
from bioicons_pipeline.settings import get_settings
from bioicons_pipeline.store import Store
from bioicons_pipeline_tests.dataset.test_dataset import ROWS, build, digests, manifest, row
from bioicons_pipeline_tests.dataset.test_publish import RecordingApi


def use(data, monkeypatch):
    """Let the commands use the data folder `data`; nobody is logged in to the hub."""
    monkeypatch.setenv("BIOICONS_DATA_DIR", str(data))
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    get_settings.cache_clear()


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The store of an empty data folder."""
    use(tmp_path / "data", monkeypatch)
    yield Store(tmp_path / "data" / "store")
    get_settings.cache_clear()


def know(store, rows, gone=()):
    """Plant the library's manifest: `rows` as they were built, those with the ids `gone` left out now."""
    frame = manifest(rows).assign(exclusion_reason=None)
    frame.loc[frame["icon_id"].isin(gone), ["included", "exclusion_reason"]] = (False, "withdrawn_by_curator")
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    version = store.commit({"manifest.parquet": buffer.getvalue()})
    store.set_ref("library_manifest", version.id, info={"categories": ["Animals", "Cells"]})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder whose `data` holds datasets of two categories and of the library; Cells has two versions."""
    root = tmp_path_factory.mktemp("home")
    store = Store(root / "data" / "store")
    for category, rows in (("Cells", ROWS[:3]), ("Cells", ROWS[:5]), ("Animals", ROWS), (None, ROWS[:7])):
        facts = build(root / f"{category}-{len(rows)}", rows)
        version = store.commit_tree(root / f"{category}-{len(rows)}")
        store.set_ref("icon_dataset", version.id, partition=category, info=facts)
    know(store, ROWS)
    return root


@pytest.fixture
def built(home, monkeypatch):
    """The folder whose content is the newest dataset of Animals."""
    use(home / "data", monkeypatch)
    yield home / "Animals-40"
    get_settings.cache_clear()


@pytest.fixture
def bioicons(monkeypatch, capsys):
    """Run `bioicons ...` in this process: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bioicons", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return stopped.value.code or 0, said.out, " ".join(said.err.split())

    return run


@pytest.mark.parametrize("layout", ["parquet", "imagefolder", "pairs"])
def test_export_writes_the_categorys_dataset_with_its_credits(built, home, bioicons, tmp_path, layout):
    out = tmp_path / "deep" / "out"
    code, said, _ = bioicons("export", "dataset", "--category", "Animals", "--out", out, "--format", layout)
    assert code == 0 and "40 icons" in said and str(out) in said
    assert (out / "ATTRIBUTION.md").is_file() and list((out / "LICENSES").iterdir())
    pattern = {"parquet": "data/*.parquet", "imagefolder": "*/metadata.jsonl", "pairs": "*/*.txt"}[layout]
    expected = {"parquet": 2, "imagefolder": 2, "pairs": 40}[layout]
    found = [path for path in out.glob(pattern) if path.parent.name != "LICENSES"]
    assert len(found) == expected
    if layout == "parquet":
        assert {name: digest for name, digest in digests(out).items() if name != "croissant.json"} == digests(
            built
        )
    assert [path.name for path in (home / "data" / "work").iterdir()] == []


def test_without_a_category_it_is_the_library_and_always_the_newest(built, bioicons, tmp_path):
    assert "7 icons" in bioicons("export", "dataset", "--out", tmp_path / "all")[1]
    assert "5 icons" in bioicons("export", "dataset", "--category", "Cells", "--out", tmp_path / "cells")[1]


def test_a_folder_with_something_in_it_is_kept_unless_forced(built, bioicons, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    arguments = ("export", "dataset", "--category", "Animals", "--out", out, "--format", "pairs")
    code, _, error = bioicons(*arguments)
    assert code == 2 and "--force" in error and str(out) in error
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    assert bioicons(*arguments, "--force")[0] == 0
    assert not (out / "thesis.txt").exists() and (out / "train").is_dir()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("place", ["data", "data/store/blobs", "."])
def test_force_never_replaces_the_store_or_what_holds_it(built, home, bioicons, place):
    arguments = ("export", "dataset", "--category", "Animals", "--out", home / place, "--force")
    code, _, error = bioicons(*arguments)
    assert code == 2 and "another folder" in error
    assert (home / "data" / "store" / "refs").is_dir()


@pytest.mark.parametrize(
    ("verb", "category", "command"),
    [
        (("export", "dataset", "--out", "x"), "Animals", "--category Animals --until icon_dataset"),
        (("export", "dataset", "--out", "x"), None, "`bioicons run --until icon_dataset`"),
        (("publish", "dataset", "--repo", "me/x"), "Animals", "--category Animals --until icon_dataset"),
    ],
)
def test_where_nothing_is_built_it_says_which_command_makes_it(store, bioicons, verb, category, command):
    code, _, error = bioicons(*verb, *(("--category", category) if category else ()))
    assert code == 2 and "bioicons run" in error and command in error
    assert "Traceback" not in error


def test_a_misspelt_category_is_told_the_nearest(store, bioicons):
    version = store.commit({"manifest.parquet": b"x"}).id
    store.set_ref("library_manifest", version, info={"categories": ["Animals", "Viruses"]})
    code, _, error = bioicons("export", "dataset", "--category", "Animls", "--out", "x")
    assert code == 2 and "did you mean Animals" in error


def test_a_dry_run_shows_files_sizes_and_licences_and_needs_no_token(built, bioicons, monkeypatch):
    monkeypatch.setattr(cli_dataset, "hub_api", lambda: pytest.fail("a dry run has no use for the hub"))
    arguments = ("publish", "dataset", "--repo", "me/icons", "--category", "Animals", "--dry-run")
    code, said, _ = bioicons(*arguments)
    assert code == 0 and "nothing was sent" in said and "me/icons" in said
    lines = said.splitlines()
    for path in (path for path in built.rglob("*") if path.is_file()):
        assert any(path.relative_to(built).as_posix() in line for line in lines), path
    size = (built / "README.md").stat().st_size
    shown = next(line for line in lines if "README.md" in line)
    assert f"{size / 1000:.1f} kB" in shown if size >= 1000 else f"{size} B" in shown
    assert any("CC-BY-4.0" in line and "40" in line for line in lines)


def test_a_dry_run_for_scripts(built, bioicons):
    arguments = ("publish", "dataset", "--repo", "me/icons", "--category", "Animals", "--dry-run", "--json")
    code, said, _ = bioicons(*arguments)
    told = json.loads(said)
    sizes = {path.relative_to(built).as_posix(): path.stat().st_size for path in built.rglob("*.*")}
    assert code == 0 and told["sent"] is False and told["files"].items() >= sizes.items()
    assert told["licences"]["CC-BY-4.0"] == 40 and told["bytes"] == sum(told["files"].values())


class KeepingApi(RecordingApi):
    """Notes what the folder holds while it is there."""

    def upload_folder(self, **given):
        self.calls.append(("upload_folder", given))
        self.files = digests(Path(given["folder_path"]))


def test_publish_gives_the_hub_the_whole_dataset(built, bioicons, monkeypatch):
    api = KeepingApi()
    monkeypatch.setattr(cli_dataset, "hub_api", lambda: api)
    arguments = ("publish", "dataset", "--repo", "me/icons", "--category", "Animals", "--private")
    code, said, _ = bioicons(*arguments)
    assert code == 0 and "huggingface.co/datasets/me/icons" in said
    assert api.files.pop("croissant.json") and api.files == digests(built)
    (created, how), (sent, what) = api.calls
    assert (created, sent) == ("create_repo", "upload_folder")
    assert how["private"] is True and how["repo_id"] == what["repo_id"] == "me/icons"


def test_one_icon_outside_the_preset_is_refused_before_the_hub_is_asked(
    store, bioicons, monkeypatch, tmp_path
):
    rows = [*ROWS, dataclasses.replace(row(99), spdx="CC-BY-SA-4.0")]
    facts = build(tmp_path / "set", rows)
    know(store, rows)
    store.set_ref("icon_dataset", store.commit_tree(tmp_path / "set").id, partition="Animals", info=facts)
    api = RecordingApi()
    monkeypatch.setattr(cli_dataset, "hub_api", lambda: api)
    for dry in ((), ("--dry-run",)):
        arguments = ("publish", "dataset", "--repo", "me/icons", "--category", "Animals", *dry)
        code, said, error = bioicons(*arguments)
        assert code == 2 and "CC-BY-SA-4.0" in error and "me/icons" not in said
    assert api.calls == []


VERBS = [
    ("export", "dataset", "--out", "out"),
    ("publish", "dataset", "--repo", "me/icons"),
    ("publish", "dataset", "--repo", "me/icons", "--dry-run"),
]


@pytest.fixture
def stale(store, tmp_path, monkeypatch):
    """A store with datasets of Animals and of the library, and what the hub was asked for."""
    facts = build(tmp_path / "set", ROWS)
    for category in ("Animals", None):
        version = store.commit_tree(tmp_path / "set").id
        store.set_ref("icon_dataset", version, partition=category, info=facts)
    api = RecordingApi()
    monkeypatch.setattr(cli_dataset, "hub_api", lambda: api)
    monkeypatch.chdir(tmp_path)
    return store, api


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("category", ["Animals", None])
@pytest.mark.parametrize("how", ["deleted upstream", "left out now (withdrawn_by_curator)", "its licence is"])
def test_a_withdrawn_icon_is_not_handed_out(stale, bioicons, tmp_path, verb, category, how):
    """The dataset is older than the manifest, or a gate keeps the last one: trained on or held out alike."""
    store, api = stale
    chosen = ("--category", category) if category else ()
    for icon in (ROWS[0], ROWS[4]):
        assert {ROWS[0].split, ROWS[4].split} == {"train", "heldout"}
        if how == "deleted upstream":
            know(store, [one for one in ROWS if one is not icon])
        elif how == "its licence is":
            know(store, [dataclasses.replace(one, spdx="MIT") if one is icon else one for one in ROWS])
        else:
            know(store, ROWS, gone=[icon.icon_id])
        code, _, error = bioicons(*verb, *chosen)
        assert code == 2 and f"has {icon.name} by Ann | Author: {how}" in error and "Traceback" not in error
        assert f"`bioicons run {'--category Animals ' if category else ''}--until icon_dataset`" in error
    assert api.calls == [] and not (tmp_path / "out").exists()
    assert list(get_settings().work_dir.iterdir()) == []
    know(store, [*ROWS, row(77)])  # an icon more is no reason
    assert bioicons(*verb, *chosen)[0] == 0


def test_many_withdrawn_icons_are_counted(stale, bioicons):
    know(stale[0], ROWS[:20])
    _, _, error = bioicons("export", "dataset", "--out", "out")
    assert error.count("deleted upstream") == 5 and "and 15 more" in error


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_of_a_category_that_is_gone_is_handed_out(stale, bioicons, tmp_path, verb):
    """Its last dataset stays in the store, for the adapters that learnt from it."""
    store, api = stale
    know(store, ROWS)  # that its manifest is marked is enough: a curator may have moved the icons
    store.set_ref("icon_manifest", store.commit({"manifest.parquet": b"x"}).id, partition="Animals", info={})
    gone.mark(store, "Animals", store.get_ref("icon_manifest", partition="Animals"), {"commit": "c0ffee" * 7})
    code, _, error = bioicons(*verb, "--category", "Animals")
    assert code == 2 and "Animals was withdrawn upstream (seen at c0ffeec0ffee)" in error
    assert api.calls == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize("repo", ["icons", "a/b/c", "me/ic ons", "/icons"])
def test_a_repository_has_an_owner_and_a_name(built, bioicons, repo):
    arguments = ("publish", "dataset", "--repo", repo, "--category", "Animals", "--dry-run")
    code, _, error = bioicons(*arguments)
    assert code == 2 and "owner/name" in error


def test_without_a_token_it_says_how_to_get_one_and_with_one_the_client_is_the_hubs_own(
    built, bioicons, monkeypatch
):
    arguments = ("publish", "dataset", "--repo", "me/icons", "--category", "Animals")
    code, _, error = bioicons(*arguments)
    assert code == 2 and "hf auth login" in error and "HF_TOKEN" in error
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_of_the_user")
    assert isinstance(cli_dataset.hub_api(), HfApi) and cli_dataset.hub_api().token is None


@pytest.mark.parametrize("verb", ["", "export", "publish", "export dataset", "publish dataset"])
def test_help_of_every_verb(bioicons, verb):
    code, said, _ = bioicons(*verb.split(), "--help")
    assert code == 0 and "dataset" in said
