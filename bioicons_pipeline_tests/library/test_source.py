"""Fetching: every kind of source gives the same state; bad ones give one clear sentence."""

import hashlib
import json
import os
import subprocess
import unicodedata

import pytest

from bioicons_pipeline.library import files as files_module
from bioicons_pipeline.library import git as git_module
from bioicons_pipeline.library.git import Git, GitError, environment, sentence
from bioicons_pipeline.library.observe import listing, observe
from bioicons_pipeline.library.source import LayoutError, Limits, SourceError, fetch, refuse_credentials
from bioicons_pipeline.library.tree import github_page, without_credentials
from bioicons_pipeline.store.names import check_paths
from bioicons_pipeline_tests.library.repositories import (
    CuttingProxy,
    commit_files,
    commit_tree,
    git,
    raw_tree,
    served,
    svg,
)

pytestmark = pytest.mark.git

FILES = {
    "static/icons/cc-0/Animals/Ann_Lee/mouse.svg": svg("red"),
    "static/icons/cc-0/Animals/Ann_Lee/Mouse.svg": svg("blue"),
    "static/icons/cc-by-4.0/Zellen/Zoë_Müller/zelle é.svg": svg("green"),
    "static/icons/cc-by-4.0/Zellen/Илья/клетка.svg": svg("lime"),
    "static/icons/mit/Chemistry/Bo/empty.svg": b"",
    "static/icons/authors.json": b"{}",
    "src/app.js": b"x" * 5000,
}
ICONS = {path.removeprefix("static/icons/"): data for path, data in FILES.items() if "icons" in path}


@pytest.fixture
def upstream(tmp_path):
    commit_files(
        tmp_path / "upstream.git", {"static/icons/cc-0/Animals/Ann_Lee/old.svg": svg("grey")}, "first"
    )
    commit_files(tmp_path / "upstream.git", FILES, "second")
    return tmp_path / "upstream.git"


@pytest.fixture
def hostile(tmp_path):
    """A repository with names and modes that no honest one has."""
    repository = tmp_path / "hostile.git"
    commit_files(repository, {"x": b"x"}, "first")
    blob = git(repository, "hash-object", "-w", "--stdin", stdin=svg())
    link = git(repository, "hash-object", "-w", "--stdin", stdin=b"../../../../etc/passwd")
    long = b"n" * 251 + b".svg"
    author = raw_tree(
        repository,
        [
            ("100644", b"..", blob),
            ("120000", b"link.svg", link),
            ("100644", b"new\nline.svg", blob),
            ("100644", long, blob),
            ("160000", b"module", "1" * 40),
            ("100644", b"good.svg", blob),
            ("100644", b"latin\xe9.svg", blob),
        ],
    )
    tree = author
    for name in (b"Ann", b"Animals", b"cc-0", b"icons", b"static"):
        tree = raw_tree(repository, [("40000", name, tree)])
    commit_tree(repository, tree)
    return repository


def contents(tree) -> dict[str, bytes]:
    return dict(tree.read_all())


def test_every_kind_of_source_gives_the_same_files(upstream, tmp_path):
    head = git(upstream, "rev-parse", "main")
    bundle, clone = tmp_path / "b.bundle", tmp_path / "clone"
    git(upstream, "bundle", "create", str(bundle), "--all")
    git(tmp_path, "clone", "--quiet", str(upstream), str(clone))
    for source in (upstream, upstream.as_uri(), bundle, clone):
        tree = fetch(str(source), None, tmp_path / "cache")
        assert contents(tree) == ICONS, source
        assert tree.commit == head
        assert tree.committed_at is not None
        assert tree.committed_at.startswith("2024-01-02T03:04:05")
        assert [entry.size for entry in tree.entries] == [len(ICONS[entry.path]) for entry in tree.entries]
    for folder in (clone / "static/icons", tmp_path / "plain"):
        if folder.name == "plain":
            subprocess.run(["cp", "-r", str(clone), str(folder)], check=True)
            subprocess.run(["rm", "-rf", str(folder / ".git")], check=True)
        tree = fetch(str(folder), None, tmp_path / "cache")
        assert contents(tree) == ICONS
        assert tree.commit.startswith("folder-")
        assert tree.committed_at is None


def test_refs_full_short_tag_branch_and_old_commits_no_ref_names(upstream, tmp_path):
    first = git(upstream, "rev-parse", "main~1")
    git(upstream, "tag", "-a", "v1", "-m", "annotated", first)
    for ref in (first, first[:10], "v1", first.upper()[:12]):
        assert list(contents(fetch(str(upstream), ref, tmp_path / "c1"))) == ["cc-0/Animals/Ann_Lee/old.svg"]
    git(upstream, "tag", "-d", "v1")
    fetch(str(upstream), "main", tmp_path / "c2")  # its shallow boundary must not hide the older commit
    assert fetch(str(upstream), first[:10], tmp_path / "c2").commit == first


def test_each_look_brings_one_commit_and_no_history(upstream, tmp_path):
    """Merely asked for what a filtered repository lacks, git fetches it, with all that is behind it."""
    fetch(upstream.as_uri(), "main", tmp_path / "cache")
    tree = git(upstream, "rev-parse", "main^{tree}")
    made = [commit_tree(upstream, tree, f"more {number}") for number in range(3)]
    assert fetch(upstream.as_uri(), "main", tmp_path / "cache").commit == made[-1]
    (repository,) = (tmp_path / "cache").glob("*/repo.git")
    objects = git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").splitlines()
    assert objects.count("commit") == 2  # the first look's, the second look's


def test_only_blobs_under_the_icons_folder_are_fetched(upstream, tmp_path):
    fetch(str(upstream), None, tmp_path / "cache")
    (repository,) = (tmp_path / "cache").glob("*/repo.git")
    listed = git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectsize)")
    assert "blob 5000" not in listed


def test_second_run_asks_only_for_what_is_new(upstream, tmp_path, monkeypatch):
    asked: list[int] = []
    network = Git.network

    def counting(self, *args, stdin=None, attempts=4):
        asked.append(len((stdin or b"").split()))
        return network(self, *args, stdin=stdin, attempts=attempts)

    monkeypatch.setattr(Git, "network", counting)
    fetch(str(upstream), None, tmp_path / "cache")
    assert sum(asked) == 6
    commit_files(upstream, FILES | {"static/icons/cc-0/Animals/Ann_Lee/new.svg": svg("pink")}, "third")
    asked.clear()
    progress = []
    fetch(
        str(upstream), None, tmp_path / "cache", progress=lambda done, total: progress.append((done, total))
    )
    assert sum(asked) == 1
    assert progress[0] == (6, 7)
    assert progress[-1] == (7, 7)
    asked.clear()
    fetch(str(upstream), git(upstream, "rev-parse", "main"), tmp_path / "cache")
    assert asked == []


def test_old_commit_is_readable_after_upstream_was_rewritten_and_removed(upstream, tmp_path):
    old = fetch(str(upstream), None, tmp_path / "cache")
    git(upstream, "update-ref", "-d", "refs/heads/main")
    commit_files(upstream, {"static/icons/cc-0/A/B/other.svg": svg("black")}, "rewritten")
    git(upstream, "reflog", "expire", "--expire=now", "--all")
    git(upstream, "gc", "--quiet", "--prune=now")
    assert contents(old) == ICONS
    assert contents(fetch(str(upstream), old.commit, tmp_path / "cache")) == ICONS
    assert list(contents(fetch(str(upstream), None, tmp_path / "cache"))) == ["cc-0/A/B/other.svg"]


def test_hostile_names_are_refused_one_by_one_and_nothing_else_is_lost(hostile, tmp_path):
    tree = fetch(str(hostile), None, tmp_path / "cache")
    assert sorted(entry.path.rsplit("/", 1)[1] for entry in tree.entries) == ["good.svg", "n" * 251 + ".svg"]
    reasons = {entry.path.removeprefix("cc-0/Animals/Ann/"): entry.reason for entry in tree.refused}
    assert reasons == {
        "..": "path with empty, . or .. parts",
        "link.svg": "symbolic link",
        "new\\nline.svg": "control character or backslash in the name",
        "module": "submodule",
        "latin\\xe9.svg": "name is not UTF-8",
    }
    assert contents(tree)["cc-0/Animals/Ann/good.svg"] == svg()
    assert all(entry.path.isprintable() for entry in tree.refused)


@pytest.mark.parametrize("kind", ["git", "folder"])
def test_of_two_names_that_are_one_once_normalised_the_first_stays(tmp_path, kind):
    """NFD, whose bytes come first, is taken and NFC refused with its reason; so is a file beside a folder of
    its name. All else is taken."""
    twins = {form: unicodedata.normalize(form, "cc-0/Animals/Ann/café.svg") for form in ("NFC", "NFD")}
    inside = unicodedata.normalize("NFD", "cc-0/Animals/Zoë/bee.svg")
    files = {
        twins["NFC"]: svg("red"),
        twins["NFD"]: svg("blue"),
        inside: svg("lime"),
        unicodedata.normalize("NFC", "cc-0/Animals/Zoë"): b"notes",
        "cc-0/Animals/Ann/mouse.svg": svg("grey"),
    }
    source = tmp_path / "upstream"
    if kind == "git":
        commit_files(source, {f"static/icons/{path}": data for path, data in files.items()})
    else:
        for path, data in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes(data)
    tree = fetch(str(source), None, tmp_path / "cache")
    kept = (twins["NFD"], inside, "cc-0/Animals/Ann/mouse.svg")
    assert contents(tree) == {path: files[path] for path in kept}
    check_paths(contents(tree))  # a version of the store can have them all
    assert {entry.path: entry.reason for entry in tree.refused} == {
        twins["NFC"]: "the same path as another file once normalised (Unicode NFC)",
        unicodedata.normalize("NFC", "cc-0/Animals/Zoë"): "the same path as a folder once normalised "
        "(Unicode NFC)",
    }
    assert set(listing(str(source), None, tmp_path / "cache").ids) == set(kept)


def test_plain_folder_follows_no_link_and_notices_changes(tmp_path):
    author = tmp_path / "lib/static/icons/cc-0/Animals/Ann"
    author.mkdir(parents=True)
    (tmp_path / "secret.svg").write_bytes(b"secret")
    (author / "a.svg").write_bytes(svg())
    (author / "b.svg").symlink_to(tmp_path / "secret.svg")
    (author.parent / "Out").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(author / "pipe.svg")
    tree = fetch(str(tmp_path / "lib"), None, tmp_path / "cache")
    assert [entry.path for entry in tree.entries] == ["cc-0/Animals/Ann/a.svg"]
    assert {entry.reason for entry in tree.refused} == {"symbolic link", "not a regular file"}
    commit = tree.commit
    (author / "a.svg").write_bytes(svg("blue"))
    with pytest.raises(SourceError, match="changed while"):
        tree.read("cc-0/Animals/Ann/a.svg")
    assert fetch(str(tmp_path / "lib"), None, tmp_path / "cache").commit != commit


@pytest.mark.parametrize(
    ("source", "ref", "says"),
    [
        ("{dir}/nothing", None, "There is nothing at"),
        ("", None, "is no source"),
        ("--upload-pack=touch /tmp/x", None, "is no source"),
        ("{dir}/upstream.git", "nope", "no commit, tag or branch named 'nope'"),
        ("{dir}/upstream.git", "deadbeef", "no commit starting with deadbeef"),
        ("{dir}/upstream.git", "d" * 40, "no such commit"),
        ("{dir}/upstream.git", "--output=x", "is no ref"),
        ("file://{dir}/gone.git", None, "no git repository"),
        ("ext::sh -c touch% {dir}/pwned", None, "not allowed"),
        ("a\x00b", None, "is no source"),
        ("ext::https://x/y", None, "not allowed"),
        ("{dir}/empty.git", None, "empty git repository"),
        ("{dir}/other.git", None, "no bioicons library"),
        ("{dir}/emptyfolder", None, "no bioicons library: it has no files"),
        ("{dir}/file.txt", None, "is a file and no git bundle"),
        ("{dir}/plain", "main", "plain folder without commits"),
    ],
)
def test_bad_sources_give_one_clear_sentence(upstream, tmp_path, source, ref, says):
    (tmp_path / "empty.git").mkdir()
    git(tmp_path / "empty.git", "init", "--quiet", "--bare", ".")
    commit_files(tmp_path / "other.git", {"README.md": b"hi"})
    (tmp_path / "emptyfolder").mkdir()
    (tmp_path / "plain/static/icons").mkdir(parents=True)
    (tmp_path / "file.txt").write_text("hello")
    with pytest.raises(SourceError) as caught:
        fetch(source.format(dir=tmp_path), ref, tmp_path / "cache")
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 400
    assert not (tmp_path / "pwned").exists()
    if "library" in says or "empty git" in says:
        assert isinstance(caught.value, LayoutError)


def test_limits_refuse_large_files_and_stop_large_libraries(upstream, tmp_path):
    big = FILES | {"static/icons/cc-0/Animals/Ann_Lee/big.svg": b"<svg>" + b" " * 20_000}
    commit_files(upstream, big, "big")
    tree = fetch(str(upstream), None, tmp_path / "cache", limits=Limits(max_file_bytes=10_000))
    assert [entry.path for entry in tree.refused] == ["cc-0/Animals/Ann_Lee/big.svg"]
    assert "larger than 10000 bytes" in tree.refused[0].reason
    with pytest.raises(SourceError, match="7 files and the limit is 3"):
        fetch(str(upstream), None, tmp_path / "cache", limits=Limits(max_files=3))
    with pytest.raises(SourceError, match="MiB and the limit"):
        fetch(str(upstream), None, tmp_path / "cache", limits=Limits(max_total_bytes=100))


@pytest.fixture
def many(tmp_path):
    """A served repository of 60 incompressible icons."""

    def noise(number: int) -> bytes:
        return b"<svg>" + b"".join(hashlib.sha512(f"{number}-{k}".encode()).digest() for k in range(64))

    icons = {f"static/icons/cc-0/Animals/Ann/{number}.svg": noise(number) for number in range(60)}
    commit_files(tmp_path / "srv/many.git", icons)
    git(tmp_path / "srv/many.git", "config", "uploadpack.allowFilter", "true")
    git(tmp_path / "srv/many.git", "config", "uploadpack.allowAnySHA1InWant", "true")
    return tmp_path / "srv"


def test_a_cut_connection_is_retried(many, tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "BATCH", 10)
    with served(many) as port:
        proxy = CuttingProxy(port, budget=100_000)
        revived = iter([False])

        def sleep(_seconds: float) -> None:
            next(revived, None)
            proxy.budget = 10_000_000  # the line is back by the time of the second try

        monkeypatch.setattr(git_module.time, "sleep", sleep)
        tree = fetch(f"git://127.0.0.1:{proxy.port}/many.git", None, tmp_path / "cache")
        proxy.close()
    assert proxy.cuts >= 1
    assert len(contents(tree)) == 60


def test_a_remote_that_vanishes_keeps_what_came_and_the_next_run_goes_on(many, tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "BATCH", 10)
    monkeypatch.setattr(git_module.time, "sleep", lambda _s: None)
    done: list[tuple[int, int]] = []
    with served(many) as port:
        proxy = CuttingProxy(port, budget=100_000)
        url = f"git://127.0.0.1:{proxy.port}/many.git"
        with pytest.raises(SourceError, match="try again"):
            fetch(url, None, tmp_path / "cache", progress=lambda *step: done.append(step))
        reached = done[-1][0]
        assert 0 < reached < 60
        (lock,) = (tmp_path / "cache").glob("*/repo.git")
        (lock / "shallow.lock").touch()  # what a killed git leaves behind
        proxy.budget, proxy.bytes = 10_000_000, 0
        done.clear()
        tree = fetch(url, None, tmp_path / "cache", progress=lambda *step: done.append(step))
        proxy.close()
    assert done[0][0] >= reached
    assert done[-1] == (60, 60)
    assert proxy.bytes < 60 * 4096
    assert len(contents(tree)) == 60


def test_nothing_of_this_users_git_configuration_takes_part(upstream, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[url "{tmp_path}/wrong"]\n insteadOf = {upstream}\n[core]\n quotePath = true\n'
        f"[uploadpack]\n packObjectsHook = touch {tmp_path}/ran\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext")
    assert contents(fetch(str(upstream), None, tmp_path / "cache")) == ICONS
    assert not (tmp_path / "ran").exists()
    assert environment()["GIT_TERMINAL_PROMPT"] == "0"


def test_a_full_disk_is_named(tmp_path):
    error = GitError(("fetch",), 128, "fatal: write error: No space left on device\nfatal: index-pack failed")
    assert error.permanent
    assert sentence(error, "x") == (
        "Cannot read x: the disk is full: free some space and run the same command again."
    )
    (tmp_path / "cache").write_text("a file where the cache should be")
    commit_files(tmp_path / "u.git", FILES)
    with pytest.raises(SourceError, match="git cache"):
        fetch(str(tmp_path / "u.git"), None, tmp_path / "cache")


@pytest.mark.parametrize(
    ("url", "shown", "page"),
    [
        ("https://user:tok3n@github.com/o/r.git?x=1", "https://github.com/o/r.git", "https://github.com/o/r"),
        ("git@github.com:o/r.git", "github.com:o/r.git", "https://github.com/o/r"),
        ("ssh://git@github.com/o/r", "ssh://github.com/o/r", "https://github.com/o/r"),
        ("https://ghp_abc@example.org:8443/o/r.git", "https://example.org:8443/o/r.git", None),
        ("https://github.com.evil.org/o/r", "https://github.com.evil.org/o/r", None),
    ],
)
def test_credentials_never_show(url, shown, page):
    assert without_credentials(url) == shown
    assert github_page(shown) == page


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git@github.com:s3cret/r.git",  # ssh's short form with ssh:// in front
        "https://user:s3cret/x@example.org/o/r.git",  # a password with a slash ends up where the port belongs
        "https://example.org:99999/o/s3cret",
        "https://[::1/o/s3cret",
    ],
)
def test_a_url_whose_port_is_no_number_is_one_sentence_without_its_secrets(url, tmp_path):
    for read in (
        without_credentials,
        refuse_credentials,
        lambda source: fetch(source, None, tmp_path / "cache"),
        lambda source: observe(source, None, tmp_path / "cache", pauses_s=()),
    ):
        with pytest.raises(SourceError, match="port") as refused:
            read(url)
        assert "s3cret" not in str(refused.value) and refused.value.__cause__ is None
    assert not (tmp_path / "cache").exists()


def test_permalinks(upstream, tmp_path):
    tree = fetch(str(upstream), None, tmp_path / "cache")
    path = "cc-by-4.0/Zellen/Zoë_Müller/zelle é.svg"
    assert tree.permalink(path) == f"{upstream}/static/icons/{path}"
    github = type(tree)(**{**tree.__dict__, "source_url": "https://github.com/o/r.git"})
    assert github.permalink(path) == (
        f"https://github.com/o/r/blob/{tree.commit}/static/icons/cc-by-4.0/Zellen/Zo%C3%AB_M%C3%BCller/zelle%20%C3%A9.svg"
    )
    assert json.dumps(github.permalink(path))


@pytest.mark.bundle
def test_the_five_states_of_the_real_library(sample_bundle, tmp_path):
    counts = {}
    for tag in ("4c77cd4e", "3289853a", "e1fa0459", "7d67472c", "f3f18b86"):
        tree = fetch(str(sample_bundle), f"upstream-{tag}", tmp_path / "cache")
        counts[tag] = len([entry for entry in tree.entries if entry.path.endswith(".svg")])
        assert tree.refused == ()
    assert counts == {
        "4c77cd4e": 1361,
        "3289853a": 1544,
        "e1fa0459": 1561,
        "7d67472c": 1559,
        "f3f18b86": 1581,
    }
    assert sum(1 for entry in tree.entries if not entry.path.isascii()) > 0
