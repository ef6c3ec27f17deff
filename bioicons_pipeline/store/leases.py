"""Leases: who may move a ref now, with a number that only grows, which the commit checks.

Belongs here: taking, renewing, giving back and checking a lease on what a ref shows. Does not belong here:
the work that it is held for. A lease is one file, `leases/<asset>/<base>/<partition>.json`, changed only by
conditional writes (`Backend.write_if`); its holder renews it while it works. One that is not renewed until it
expires, or whose holder this machine knows to be dead, is taken over under the next number.

Clocks and pauses can make two processes believe at once that they hold it. So the number is a fencing token
(Kleppmann, Designing Data-Intensive Applications, section 8.4): whoever commits checks that its own is still
the newest, between reading the ref and replacing it on condition that it did not change (`Store.set_ref`).
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bioicons_pipeline.processes import ProcessId
from bioicons_pipeline.store.backend import Backend
from bioicons_pipeline.store.errors import StoreError
from bioicons_pipeline.store.names import ALL, quote_name

TTL_S = 120.0
"""Seconds that a lease lasts without being renewed; it is renewed four times in that time."""


class LeaseHeldError(StoreError):
    """Another process holds the lease and is alive."""


class LeaseLostError(StoreError):
    """The lease went to another process meanwhile: nothing may be committed under it any more."""


@dataclass(frozen=True)
class Record:
    """The content of a lease file. `holder` None: it was given back. Times are ISO 8601, UTC."""

    token: int
    holder: str | None
    process: ProcessId | None
    since: str
    expires_at: str

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()

    def free(self) -> bool:
        """Whether it may be taken: given back, expired, or its holder is known to be dead."""
        if self.holder is None or datetime.fromisoformat(self.expires_at) < datetime.now(UTC):
            return True
        return self.process is not None and self.process.is_gone() is True


@dataclass(frozen=True)
class Claim:
    """What another process needs to check the lease that it works under."""

    key: str
    token: int

    def check(self, backend: Backend) -> None:
        """Let through only the newest token.

        Raises:
            LeaseLostError: another process has taken the lease over, or it was given back.
        """
        found = _read(backend, self.key)
        if found is None or found[0].token != self.token or found[0].holder is None:
            raise LeaseLostError(_lost(self, found[0] if found else None))


class Lease:
    """A lease that this process holds; made by `held`."""

    def __init__(self, backend: Backend, claim: Claim, ttl_s: float) -> None:
        self._backend, self._ttl_s = backend, ttl_s
        self.claim = claim

    @property
    def token(self) -> int:
        """The fencing token: grows by one with every holder."""
        return self.claim.token

    def check(self) -> None:
        """Renew it, which only its newest holder can: call this right before a commit.

        Raises:
            LeaseLostError: another process has taken it over.
        """
        self._change(lambda record: replace(record, expires_at=_in(self._ttl_s)))

    def give_back(self) -> None:
        """Free it for the next; the file stays, so that numbers go on growing."""
        with suppress(LeaseLostError):
            self._change(lambda record: replace(record, holder=None, process=None))

    def _change(self, change: Callable[[Record], Record]) -> None:
        while True:
            found = _read(self._backend, self.claim.key)
            if found is None or found[0].token != self.token or found[0].holder is None:
                raise LeaseLostError(_lost(self.claim, found[0] if found else None))
            if self._backend.write_if(self.claim.key, change(found[0]).to_json(), found[1]):
                return

    def keep(self, until: threading.Event) -> None:
        """Renew it until told to stop, or until it is lost (then the commit will say so)."""
        while not until.wait(self._ttl_s / 4):
            try:
                self.check()
            except LeaseLostError:
                return
            except StoreError:  # the store cannot be reached for a moment; there are three more times
                continue


@contextmanager
def held(
    backend: Backend,
    asset: str,
    *,
    holder: str,
    partition: str | None = None,
    base: str | None = None,
    ttl_s: float = TTL_S,
) -> Iterator[Lease]:
    """Hold the lease on what `asset` shows, renewed by a thread, while the block runs.

    Raises:
        LeaseHeldError: another process holds it and is alive; who, and since when. Where it cannot be known
            whether it is alive (another machine), this waits up to `ttl_s` for a sign of life.
    """
    key = lease_key(asset, partition=partition, base=base)
    what = f"{asset} of {partition}" if partition else f"the library-wide {asset.rpartition('/')[2]}"
    lease = Lease(backend, Claim(key, _take(backend, key, holder, what, ttl_s)), ttl_s)
    done = threading.Event()
    renewing = threading.Thread(target=lease.keep, args=(done,), name="lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        done.set()
        renewing.join()
        with suppress(StoreError):  # it expires by itself; what went wrong in the block matters more
            lease.give_back()


def lease_key(asset: str, *, partition: str | None = None, base: str | None = None) -> str:
    """Where the lease on a ref is."""
    parts = [asset, *([] if base is None else [base]), partition or ALL]
    return f"leases/{'/'.join(quote_name(part) for part in parts)}.json"


def _take(backend: Backend, key: str, holder: str, what: str, ttl_s: float) -> int:
    """Take the lease; its new token."""
    first: Record | None = None
    while True:
        found = _read(backend, key)
        record = found[0] if found else None
        if record is None or record.free():
            now = datetime.now(UTC).isoformat(timespec="seconds")
            mine = Record((record.token if record else 0) + 1, holder, ProcessId.here(), now, _in(ttl_s))
            if backend.write_if(key, mine.to_json(), found[1] if found else None):
                return mine.token
            continue  # another was quicker: look at who
        lives = record.process is not None and record.process.is_gone() is False
        if lives or (first is not None and record != first):  # it was renewed while this waited
            raise LeaseHeldError(
                f"{what[:1].upper()}{what[1:]} is being made by {record.holder} since {record.since}: wait "
                "for it, or stop it and run this again."
            )
        first = record
        time.sleep(min(2.0, ttl_s / 10))


def _read(backend: Backend, key: str) -> tuple[Record, str] | None:
    found = backend.read_tagged(key)
    if found is None:
        return None
    try:
        return _record(json.loads(found[0])), found[1]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"The lease file {key} of the store at {backend.root} is damaged: delete it if nothing "
            "is training."
        ) from error


def _record(fields: dict[str, Any]) -> Record:
    process = fields["process"]
    datetime.fromisoformat(fields["expires_at"])
    return Record(
        int(fields["token"]),
        fields["holder"],
        ProcessId(**process) if process else None,
        str(fields["since"]),
        str(fields["expires_at"]),
    )


def _lost(claim: Claim, record: Record | None) -> str:
    taken = f" to {record.holder} since {record.since}" if record and record.holder else ""
    return (
        f"This process has lost the lease {claim.key} (number {claim.token}){taken}, so nothing is published "
        "of what it made: run it again if the other one does not finish."
    )


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
