"""A disk that fills, for real: one sentence, nothing half-written, and the same command works afterwards.

The limit is the kernel's own on the size of a file (RLIMIT_FSIZE), set in a process of its own: a write over
it fails, and a git that tries is ended by a signal.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from bioicons_pipeline.library.source import fetch
from bioicons_pipeline_tests.library.repositories import commit_files, git

LIMITED = """
import resource, sys
from pathlib import Path
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.source import fetch
{imports}
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    {action}
except BioiconsError as error:
    print(error)
else:
    print("it worked")
"""


def limited(action: str, limit: int, imports: str = "") -> str:
    """What `action` says in a process that cannot write more than `limit` bytes into a file."""
    code = LIMITED.format(action=action, limit=limit, imports=imports)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    return done.stdout.strip()


def noise(number: int) -> bytes:
    """An icon that no compression makes smaller."""
    return b"<svg>" + b"".join(hashlib.sha512(f"{number}-{k}".encode()).digest() for k in range(64))


@pytest.fixture
def upstream(tmp_path) -> Path:
    files = {f"static/icons/cc-0/Animals/Ann/{n}.svg": noise(n) for n in range(60)}
    commit_files(tmp_path / "upstream.git", files)
    git(tmp_path / "upstream.git", "bundle", "create", str(tmp_path / "b.bundle"), "--all")
    return tmp_path


@pytest.mark.git
@pytest.mark.parametrize("source", ["b.bundle", "upstream.git"])
def test_a_fetch_that_does_not_fit_says_so_and_can_be_repeated(upstream, source):
    cache = upstream / "cache"
    action = f"fetch({str(upstream / source)!r}, None, Path({str(cache)!r}))"
    said = limited(action, 60_000)
    assert "larger than this machine allows" in said or "disk is full" in said, said
    assert len(said.splitlines()) == 1 and str(upstream / source) in said
    tree = fetch(str(upstream / source), None, cache)
    assert dict(tree.read_all()) == {f"cc-0/Animals/Ann/{n}.svg": noise(n) for n in range(60)}
    assert not [path for path in cache.rglob("*") if path.name.startswith("tmp_")]


@pytest.mark.parametrize(
    ("call", "imports"),
    [
        ("write_whole({file}, b'x' * 5000)", "from bioicons_pipeline.whole import write_whole"),
        (
            "Pairs({file}.parent).similar([np.ones(SIZE, np.float32), np.zeros(SIZE, np.float32)] * 2)",
            "import numpy as np\nfrom bioicons_pipeline.library.pairs import Pairs\n"
            "from bioicons_pipeline.library.shape import SIZE",
        ),
        (
            "RenderCache({file}.parent).put('ab' * 32, b'x' * 5000)",
            "from bioicons_pipeline.rendering import RenderCache",
        ),
    ],
)
def test_a_cache_that_does_not_fit_says_so_and_keeps_what_was_there(tmp_path, call, imports):
    old = tmp_path / "caches" / "old"
    old.parent.mkdir()
    old.write_bytes(b"kept")
    said = limited(call.format(file=f"Path({str(old)!r})"), 50, imports)
    assert "free some space" in said and "File too large" in said, said
    assert [path for path in old.parent.rglob("*") if path.is_file()] == [old]
    assert old.read_bytes() == b"kept"
