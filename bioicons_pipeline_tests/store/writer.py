"""The process that the kill and concurrency tests start: it writes, and dies where it is told to.

`moments`: for each given moment n, fork, write the scenario, and die by SIGKILL just before the n-th
low-level operation (in the middle of it, if that is a write). `trace`: print all operations. `loop`:
write new versions until killed from outside. `race`: commit the same files as others do, switching one ref.
On S3 (`s3://…` as root) an operation is a request: death comes before it, in the middle of what it uploads,
or before its answer is looked at.
"""

import json
import os
import signal
import sys
import threading
import time

from bioicons_pipeline.store import Store, parallel, s3

OLD = {"a.json": b"{}", "png/1.png": b"one" * 999, "png/2.png": b"two", "png/3.png": b"old"}
NEW = {**OLD, "png/3.png": b"new", "png/4.png": b"4" * 200_000, **{f"svg/{n}": b"%d" % n for n in range(2)}}
WEIGHTS_OLD = {"w.safetensors": b"w0"}
WEIGHTS_NEW = {"w.safetensors": b"w1" * 5000, "card.md": b"# card"}
DATASET = ("icon_dataset", {"partition": "Animals"})
WEIGHTS = ("lora_weights", {"partition": "Animals", "base": "FLUX.1-dev"})
OPERATIONS = ("mkdir", "open", "write", "fsync", "close", "replace")


def write(root: str, dataset: dict, weights: dict) -> dict[str, str]:
    """The scenario: two commits, each followed by the switch of a ref. The version ids."""
    store = Store(root)
    ids = {}
    for (asset, name), files in ((DATASET, dataset), (WEIGHTS, weights)):
        version = store.commit(files)
        store.set_ref(asset, version.id, **name, info={"files": len(files)})
        ids[asset] = version.id
    return ids


def watch(seen: list[str], die_at: int | None) -> None:
    """Record every low-level operation in `seen`; die before the one of index `die_at`."""
    lock = threading.Lock()

    def watched(name, original):
        def operation(*args, **kwargs):
            with lock:
                if len(seen) == die_at:
                    if name == "write":
                        original(args[0], bytes(args[1])[: len(args[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                seen.append(f"{name} {args[1] if name == 'replace' else args[0]}")
            return original(*args, **kwargs)

        return operation

    for name in OPERATIONS:
        setattr(os, name, watched(name, getattr(os, name)))


class HalfThenDeath:
    """A request's body that kills its sender once half of it is on the wire."""

    def __init__(self, body: bytes) -> None:
        self._body, self._sent = body, 0

    def __len__(self) -> int:
        return len(self._body)

    def read(self, size: int = -1) -> bytes:
        if self._sent:
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        self._sent = (len(self._body) + 1) // 2  # nothing would say that the body ends here
        return self._body[: self._sent]


def watch_requests(seen: list[str], die_at: int | None) -> None:
    """The same for S3: three moments a request, two where it uploads nothing that could be torn."""
    from botocore.httpsession import URLLib3Session

    original = URLLib3Session.send
    # rclone writes in place: half of a small object is no promise of its, and a real sender never sends one
    smallest = int(os.environ.get("WRITER_TORN_FROM", "0"))

    def moment(name: str) -> bool:
        seen.append(name)
        return len(seen) - 1 == die_at

    def send(self, request):
        name = f"{request.method} {request.url}"
        if moment(f"before {name}"):
            os.kill(os.getpid(), signal.SIGKILL)
        body = request.body
        if hasattr(body, "read"):  # botocore makes a stream of what it uploads
            data = body.read()
            body.seek(0)
            if len(data) > smallest and moment(f"within {name}"):
                request.body = HalfThenDeath(data)
        answer = original(self, request)
        if moment(f"after {name}"):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    URLLib3Session.send = send


def prepare(root: str, seen: list[str], die_at: int | None) -> None:
    """Watch what the scenario does at `root`; S3's files of 200,000 bytes go in several parts."""
    if root.startswith("s3://"):
        s3.PART = 64 * 1024
        s3.PARTS_AT_ONCE = 1  # the same order of requests every time
        watch_requests(seen, die_at)
    else:
        watch(seen, die_at)


def die_at_moments(jobs: list[tuple[str, int]]) -> list[int]:
    """Run the scenario once for each (root, moment) in a process of its own; their wait statuses."""
    statuses = []
    for root, moment in jobs:
        child = os.fork()
        if child == 0:
            os.fsync = os.fstat  # a kill loses nothing that the kernel has: no need to wait for the disk
            prepare(root, [], moment)
            write(root, NEW, WEIGHTS_NEW)
            os._exit(0)
        statuses.append(os.waitpid(child, 0)[1])
    return statuses


def main(mode: str, argument: str) -> None:
    if mode in {"trace", "moments"}:
        parallel.WORKERS = 1  # the same order of operations every time
    if mode == "trace":
        seen: list[str] = []
        prepare(argument, seen, None)
        write(argument, NEW, WEIGHTS_NEW)
        print(json.dumps(seen))
    elif mode == "moments":
        print(json.dumps(die_at_moments(json.loads(argument))))
    elif mode == "loop":
        for turn in range(10_000):
            unique = {"turn": f"{os.getpid()}-{turn}".encode()}
            write(argument, {**NEW, **unique}, {**WEIGHTS_NEW, **unique})
            if turn == 0:
                print("ready", flush=True)
    elif mode == "race":
        print("ready", flush=True)
        sys.stdin.readline()
        for turn in range(4):
            write(argument, {**NEW, "turn": b"%d" % turn}, {**WEIGHTS_NEW, "turn": b"%d" % turn})


if __name__ == "__main__":
    main(*sys.argv[1:])
