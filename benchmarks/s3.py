"""What the store costs on S3, beside plain copying of the same files.

    python benchmarks/s3.py [--images 10000] [--rounds 3] [--server rclone|moto]     # minutes a round

A dataset of images goes to a new bucket of a server on loopback, and comes back. Plain copying is what
`aws s3 sync` does to an empty side: boto3's PUT and GET of each file, in a pool of as many threads as the
store has; it hashes nothing and syncs no disk. The two take turns in every round, and each round has new
buckets, so that whatever else the machine does falls on both. "No change" is the same folder committed
again from a new store, as a run that has nothing to do begins. Loopback has no latency, which leaves the
store's own work in full sight. Writes benchmarks/results/s3.json.
"""

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from bioicons_pipeline.store import Store
from bioicons_pipeline.store.parallel import WORKERS
from bioicons_pipeline_tests import s3_servers

RESULT = Path("benchmarks/results/s3.json")
BYTES = (4_000, 40_000)
"""Smallest and largest image; PNGs of icons at 1,024 px are about so large."""


def make_images(folder: Path, count: int) -> None:
    """`count` files of random bytes, 100 a folder."""
    chance = random.Random(count)
    for number in range(count):
        file = folder / f"{number // 100:03d}" / f"{number:05d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(chance.randbytes(chance.randint(*BYTES)))


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def copy_up(endpoint: str, bucket: str, folder: Path) -> None:
    """Every file by a PUT of its own."""
    client = s3_servers.connect(endpoint)

    def put(file: Path) -> None:
        client.put_object(Bucket=bucket, Key=f"plain/{file.relative_to(folder)}", Body=file.read_bytes())

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(put, [file for file in sorted(folder.rglob("*")) if file.is_file()]))


def copy_down(endpoint: str, bucket: str, folder: Path) -> None:
    """Every object by a GET of its own."""
    client = s3_servers.connect(endpoint)

    def get(key: str) -> None:
        file = folder / key.removeprefix("plain/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())

    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="plain/")
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(get, [entry["Key"] for page in pages for entry in page.get("Contents", [])]))


def one_round(endpoint: str, images: Path, scratch: Path, *, ours_first: bool) -> dict[str, float]:
    """Seconds of each way, there and back, and of a run without changes."""
    root = s3_servers.make_root(endpoint)
    bucket = root.split("/")[2]
    made: list[str] = []
    found: dict[str, float] = {}
    steps: list[tuple[str, Callable[[], object]]] = [
        ("plain up", lambda: copy_up(endpoint, bucket, images)),
        ("ours up", lambda: made.append(Store(root).commit_tree(images).id)),
        ("plain down", lambda: copy_down(endpoint, bucket, scratch / "plain")),
        ("ours down", lambda: Store(root).checkout(made[0], scratch / "ours")),
    ]
    if ours_first:
        steps = [steps[1], steps[0], steps[3], steps[2]]
    for name, work in steps:
        found[name] = timed(work)
    found["no change"] = timed(lambda: made.append(Store(root).commit_tree(images).id))
    assert made[0] == made[1]
    return found


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", choices=("rclone", "moto"), default="rclone")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images"
        make_images(images, options.images)
        size = sum(file.stat().st_size for file in images.rglob("*") if file.is_file())
        for number in range(options.rounds):
            place = folder / f"round-{number}"
            place.mkdir()
            with getattr(s3_servers, options.server)(place) as endpoint:
                os.environ |= s3_servers.environment(endpoint)
                rounds.append(one_round(endpoint, images, place, ours_first=number % 2 == 1))
            print({name: round(value, 2) for name, value in rounds[-1].items()}, flush=True)
    seconds = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    result = {
        "images": options.images,
        "megabytes": round(size / 1e6, 1),
        "rounds": options.rounds,
        "server": options.server,
        "threads": WORKERS,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "up, times plain copying": round(statistics.median(o["ours up"] / o["plain up"] for o in rounds), 3),
        "down, times plain copying": round(
            statistics.median(o["ours down"] / o["plain down"] for o in rounds), 3
        ),
        "machine": f"{platform.machine()}, {os.cpu_count()} logical CPUs",
        "boto3": version("boto3"),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
