"""Conditional writes, and leases on top of them: one holder, numbers that grow, no commit by a former one."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from bioicons_pipeline.processes import ProcessId
from bioicons_pipeline.store import Store, StoreError, leases
from bioicons_pipeline.store.leases import Claim, LeaseHeldError, LeaseLostError, held, lease_key

from .conftest import opened

KEY = "leases/lora_weights/flux-tiny/Animals.json"
WHERE = {"partition": "Animals", "base": "flux-tiny"}
ELSEWHERE = ProcessId("another-machine", 1, 0.0)


@pytest.fixture(params=["local", "memory", "s3"])
def store(request, tmp_path):
    """A store on disk, in memory, and on S3."""
    yield from opened(request, tmp_path)


def take(backend, holder="run a", **options):
    return held(backend, "lora_weights", holder=holder, **WHERE, **options)


def written(backend, key=KEY) -> dict:
    return json.loads(backend.read_tagged(key)[0])


def rewrite(backend, **changes) -> None:
    """Change the lease file behind its holder's back, as another machine would."""
    data, tag = backend.read_tagged(KEY)
    assert backend.write_if(KEY, json.dumps(json.loads(data) | changes).encode(), tag)


def elsewhere(**changes) -> dict:
    return {"process": {"host": ELSEWHERE.host, "pid": 1, "started": 0.0}} | changes


# --- conditional writes: what any backend must do ---


def test_a_conditional_write_happens_only_over_what_was_read(store):
    backend = store.backend
    assert backend.read_tagged("leases/a.json") is None
    assert not backend.write_if("leases/a.json", b"one", "no such tag")
    assert backend.read_tagged("leases/a.json") is None
    assert backend.write_if("leases/a.json", b"one", None)
    data, tag = backend.read_tagged("leases/a.json")
    assert data == b"one"
    assert not backend.write_if("leases/a.json", b"two", None)
    assert not backend.write_if("leases/a.json", b"two", "no such tag")
    assert backend.read_tagged("leases/a.json") == (b"one", tag)
    assert backend.write_if("leases/a.json", b"two", tag)
    data, newer = backend.read_tagged("leases/a.json")
    assert data == b"two" and newer != tag
    assert not backend.write_if("leases/a.json", b"three", tag)


def test_of_many_at_once_each_write_counts(store):
    """Threads that each add one, and try again when another was quicker: no addition is lost."""
    backend = store.backend
    assert backend.write_if("leases/n.json", b"0", None)

    def add() -> None:
        done = 0
        while done < 10:
            data, tag = backend.read_tagged("leases/n.json")
            done += backend.write_if("leases/n.json", str(int(data) + 1).encode(), tag)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert backend.read_tagged("leases/n.json")[0] == b"40"


def _add_for_ever(root: str) -> None:
    backend = Store(root).backend
    while True:
        data, tag = backend.read_tagged("leases/n.json")
        backend.write_if("leases/n.json", str(int(data) + 1).encode(), tag)


def test_a_writer_that_is_killed_leaves_no_lock(local):
    local.backend.write_if("leases/n.json", b"0", None)
    for _ in range(3):
        child = multiprocessing.get_context("fork").Process(target=_add_for_ever, args=(str(local.root),))
        child.start()
        before = int(local.backend.read_tagged("leases/n.json")[0])
        while int(local.backend.read_tagged("leases/n.json")[0]) < before + 5:
            time.sleep(0.001)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        data, tag = local.backend.read_tagged("leases/n.json")
        assert local.backend.write_if("leases/n.json", data, tag)


# --- leases ---


def test_one_holder_at_a_time_and_numbers_that_grow(store):
    backend = store.backend
    with take(backend) as first:
        assert first.token == 1
        held_by = r"Lora_weights of Animals is being made by run a since 2"
        with pytest.raises(LeaseHeldError, match=held_by), take(backend, "run b"):
            pass
        with held(backend, "lora_weights", holder="run b", partition="Plants", base="flux-tiny") as other:
            assert other.token == 1
    with take(backend, "run b") as second:
        assert second.token == 2
        assert written(backend)["holder"] == "run b"
    assert written(backend)["holder"] is None


def test_of_many_that_come_at_once_one_gets_it(store):
    got, refused = [], []
    start, leave = threading.Barrier(4), threading.Event()

    def come(name: str) -> None:
        start.wait()
        try:
            with take(store.backend, name) as lease:
                got.append(lease.token)
                leave.wait(30)
        except LeaseHeldError:
            refused.append(name)
            if len(refused) == 3:
                leave.set()

    threads = [threading.Thread(target=come, args=(f"run {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [1] and len(refused) == 3


def test_an_expired_one_is_taken_over_and_its_former_holder_commits_nothing(store):
    backend = store.backend
    old = store.commit({"a": b"old"})
    new = store.commit({"a": b"new"})
    with take(backend, "slow") as slow:
        rewrite(backend, **elsewhere(expires_at="2026-01-01T00:00:00.000+00:00"))
        with take(backend, "quick") as quick:
            assert quick.token == slow.token + 1
            store.set_ref("lora_weights", new.id, **WHERE, guard=quick.check)
            with pytest.raises(LeaseLostError, match=r"has lost the lease .* \(number 1\) to quick since 2"):
                store.set_ref("lora_weights", old.id, **WHERE, guard=slow.check)
            with pytest.raises(LeaseLostError):
                slow.claim.check(backend)
            quick.claim.check(backend)
    assert written(backend)["token"] == quick.token  # the former holder's return changed nothing
    assert store.get_ref("lora_weights", **WHERE).version_id == new.id


def test_who_sleeps_between_check_and_write_does_not_overwrite_the_successor(store):
    """The pause that no check sees: the ref is replaced only if it is still what it was before the check."""
    old, new = store.commit({"a": b"old"}), store.commit({"a": b"new"})
    with take(store.backend, "slow") as slow:

        def check_then_sleep() -> None:
            slow.check()
            rewrite(store.backend, **elsewhere(expires_at="2026-01-01T00:00:00.000+00:00"))
            with take(store.backend, "quick") as quick:
                store.set_ref("lora_weights", new.id, **WHERE, guard=quick.check)

        with pytest.raises(StoreError, match="at the same moment"):
            store.set_ref("lora_weights", old.id, **WHERE, guard=check_then_sleep)
    assert store.get_ref("lora_weights", **WHERE).version_id == new.id


def test_the_lease_of_a_killed_process_is_free_at_once(local):
    program = (
        "import sys, time; from bioicons_pipeline.store import Store, leases\n"
        "with leases.held(Store(sys.argv[1]).backend, 'lora_weights', holder='killed', "
        "partition='Animals', base='flux-tiny'):\n    print('held', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(local.root)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    with pytest.raises(LeaseHeldError, match="by killed since"), take(local.backend):
        pass
    child.kill()
    child.wait()
    with take(local.backend) as lease:
        assert lease.token == 2


def test_a_holder_elsewhere_is_given_time_to_show_that_it_lives(store):
    backend = store.backend
    with take(backend, "far"):
        rewrite(backend, **elsewhere())

        def renew() -> None:
            rewrite(backend, expires_at="2999-01-01T00:00:00.000+00:00")

        timer = threading.Timer(0.3, renew)
        timer.start()
        with pytest.raises(LeaseHeldError, match="by far"), take(backend, ttl_s=2):
            pass
        timer.join()


def test_it_is_renewed_while_the_work_goes_on(store, monkeypatch):
    backend = store.backend
    with take(backend, ttl_s=0.4) as lease:
        first = written(backend)["expires_at"]
        ends = time.monotonic() + 30
        while written(backend)["expires_at"] == first and time.monotonic() < ends:
            time.sleep(0.05)
        assert written(backend)["expires_at"] > first
        lease.check()


def test_it_is_given_back_when_the_work_fails(store):
    with pytest.raises(ZeroDivisionError), take(store.backend):
        raise ZeroDivisionError
    with take(store.backend) as lease:
        assert lease.token == 2


def test_a_damaged_file_is_said(store):
    store.backend.write_if(KEY, b"{}", None)
    with pytest.raises(StoreError, match=r"lease file .* is damaged: delete it"), take(store.backend):
        pass


def test_the_key_keeps_apart_what_refs_keep_apart():
    assert lease_key("lora_weights", **WHERE) == KEY
    assert lease_key("lora_weights", base="a/b") == "leases/lora_weights/a%2Fb/__all__.json"
    assert len({lease_key("x", partition="a", base="b"), lease_key("x", partition="b", base="a")}) == 2


def test_a_claim_travels_as_json(store):
    from bioicons_pipeline.training.request import TrainingRequest, parse_request

    with take(store.backend) as lease:
        request = TrainingRequest(
            store_root="s", dataset_version="d", base="b", partition="p", work_dir="w", lease=lease.claim
        )
        assert parse_request(request.to_json()).lease == Claim(KEY, 1) == lease.claim
    assert leases.TTL_S > 60
