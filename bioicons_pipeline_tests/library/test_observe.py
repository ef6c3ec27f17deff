"""Observation: one version that moves when an icon file does, and no file fetched; patient, then clear."""

import subprocess

import pytest

from bioicons_pipeline.library import observe as module
from bioicons_pipeline.library.git import Git, SourceError
from bioicons_pipeline.library.observe import blob_id, listing, observe
from bioicons_pipeline.library.source import fetch
from bioicons_pipeline_tests.library.repositories import commit_files, git, served, svg

pytestmark = pytest.mark.git

ICON = "static/icons/cc-0/Animals/Ann/mouse.svg"
FILES = {ICON: svg("red"), "src/app.js": b"x" * 5000}


@pytest.fixture
def upstream(tmp_path):
    commit_files(tmp_path / "upstream.git", FILES)
    return tmp_path / "upstream.git"


def calls(monkeypatch) -> list[str]:
    """git's commands that talk to the remote, from now on."""
    seen = []
    real = Git.network
    monkeypatch.setattr(
        Git, "network", lambda self, *args, **how: (seen.append(args[0]), real(self, *args, **how))[1]
    )
    return seen


def test_the_version_is_the_tree_of_the_icons(upstream, tmp_path):
    seen = observe(str(upstream), None, tmp_path / "cache")
    assert seen.version == git(upstream, "rev-parse", "main:static/icons")
    assert seen.commit == git(upstream, "rev-parse", "main")


def test_a_known_commit_costs_one_ls_remote_and_a_new_one_no_file(tmp_path, monkeypatch):
    commit_files(tmp_path / "base" / "upstream.git", FILES)
    git(tmp_path / "base" / "upstream.git", "config", "uploadpack.allowFilter", "true")
    seen = calls(monkeypatch)
    with served(tmp_path / "base") as port:
        url = f"git://127.0.0.1:{port}/upstream.git"
        first = observe(url, None, tmp_path / "cache")
        assert seen == ["ls-remote", "fetch"]
        (repository,) = (tmp_path / "cache").rglob("repo.git")
        kinds = subprocess.run(
            ["git", "--git-dir", str(repository), "cat-file", "--batch-all-objects", "--batch-check"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "tree" in kinds and "blob" not in kinds
        assert observe(url, None, tmp_path / "cache") == first
        assert seen == ["ls-remote", "fetch", "ls-remote"]


def test_it_moves_with_the_icons_and_with_nothing_else(upstream, tmp_path):
    look = lambda: observe(str(upstream), None, tmp_path / "cache").version  # noqa: E731
    first = look()
    commit_files(upstream, FILES | {"src/app.js": b"y"})
    assert look() == first
    commit_files(upstream, FILES | {ICON: svg("blue")})
    assert look() != first
    tree = git(upstream, "rev-parse", "main~1^{tree}")
    git(upstream, "update-ref", "refs/heads/main", git(upstream, "commit-tree", tree, "-m", "rewritten"))
    assert look() == first


def test_a_plain_folder_and_a_bundle(upstream, tmp_path):
    icon = tmp_path / "plain" / ICON
    icon.parent.mkdir(parents=True)
    icon.write_bytes(svg("red"))
    before = observe(str(tmp_path / "plain"), None, tmp_path / "cache").version
    assert before == observe(str(tmp_path / "plain"), None, tmp_path / "cache").version
    icon.write_bytes(svg("blue"))
    assert observe(str(tmp_path / "plain"), None, tmp_path / "cache").version != before
    git(upstream, "bundle", "create", "--quiet", str(tmp_path / "b.bundle"), "--all")
    seen = observe(str(tmp_path / "b.bundle"), None, tmp_path / "cache")
    assert seen.version == git(upstream, "rev-parse", "main:static/icons")


def test_a_remote_that_does_not_answer_is_asked_again_and_then_said_to_fail(tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)  # git's own tries
    pauses, told = [], []
    seen = calls(monkeypatch)
    with pytest.raises(SourceError, match=r"^Cannot read git://127\.0\.0\.1:9/x: .*\.$"):
        observe(
            "git://127.0.0.1:9/x", None, tmp_path, pauses_s=(1, 5), sleep=pauses.append, report=told.append
        )
    assert pauses == [1, 5] and len(told) == 2 and "Next try in 5 s." in told[1]
    assert len(seen) == 3


def test_what_cannot_help_is_not_tried_again(upstream, tmp_path):
    pauses = []
    for source, ref in ((str(tmp_path / "nothing"), None), (str(upstream), "no-such-branch")):
        with pytest.raises(SourceError):
            observe(source, ref, tmp_path / "cache", sleep=pauses.append)
    assert pauses == []


def test_a_remote_that_comes_back_is_read(upstream, tmp_path, monkeypatch):
    real, answers = module._observe, [False, True]

    def flaky(*arguments):
        if not answers.pop(0):
            raise SourceError("gone") from module.GitError((), 128, "fatal: early EOF")
        return real(*arguments)

    monkeypatch.setattr(module, "_observe", flaky)
    assert observe(str(upstream), None, tmp_path / "cache", sleep=lambda _: None).version


def test_the_listing_has_what_a_fetch_has(upstream, tmp_path):
    found = listing(str(upstream), None, tmp_path / "cache")
    tree = fetch(str(upstream), None, tmp_path / "cache")
    assert found.ids == {path: blob_id(data) for path, data in tree.read_all()}
    assert found.commit == tree.commit and not found.hashed
