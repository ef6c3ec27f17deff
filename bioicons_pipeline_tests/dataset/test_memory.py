"""Memory stays flat: 50,000 rows, more bytes on disk than the memory allowed."""

import subprocess
import sys

import pytest

BUILD = """
import resource, sys
from pathlib import Path
from bioicons_pipeline.dataset import DatasetRow, write_shards

def row(n):
    return DatasetRow(f"{n:08x}", f"{n:064x}", f"mouse_{n}", "Animals", "Ann", None, "CC-BY-4.0",
        "https://example.org/l", f"https://example.org/{n}", f"f{n}", "train", f"bioicons style, mouse {n}",
        (f"bioicons style, mouse {n}", "a mouse"), 512, 512, lambda: bytes(26_000))

write_shards([row(n) for n in range(50_000)], Path(sys.argv[1]))
size = sum(p.stat().st_size for p in Path(sys.argv[1]).rglob("*.parquet"))
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_fifty_thousand_rows_under_one_gibibyte(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path)], capture_output=True, text=True, check=True
    )
    size, peak = map(int, done.stdout.split())
    assert size > 1 << 30  # all of it at once would not fit
    assert peak < 1 << 30, f"{peak / 2**20:.0f} MiB"
