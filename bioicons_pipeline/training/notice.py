"""The notice that this host is about to go, as a flag that the loop looks at between two steps.

Belongs here: SIGTERM, and the instance metadata service of EC2. Does not belong here: what is done about it
(loop). A spot host is announced two minutes ahead, by its metadata and nothing else: ECS sets it to DRAINING,
which stops tasks of services, not a task that `RunTask` started
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html,
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html).
The service is asked as its version 2 wants it: a token first.
"""

from __future__ import annotations

import signal
import threading
import urllib.error
import urllib.request
from types import FrameType
from typing import Any

POLL_S = 5.0
"""Seconds between two questions, as AWS recommends."""
TIMEOUT_S = 2.0
GIVE_UP_AFTER = 3
"""Questions in a row without an answer, before there ever was one, after which nobody is asked any more."""
_TOKEN = "/latest/api/token"
_ACTION = "/latest/meta-data/spot/instance-action"


class Notice:
    """While it is open the first SIGTERM is a flag, looked at between two steps; a second one interrupts.

    metadata: root of the instance metadata service, asked whether this host is about to be taken; "": not.
    """

    def __init__(self, metadata: str = "") -> None:
        self._metadata = metadata
        self._given = threading.Event()
        self._signalled = False
        self._closed = threading.Event()
        self._before: Any = None

    def __enter__(self) -> Notice:
        self._before = signal.signal(signal.SIGTERM, self._note)
        if self._metadata:
            threading.Thread(target=self._watch, name="spot-notice", daemon=True).start()
        return self

    def __exit__(self, *details: Any) -> None:
        self._closed.set()
        signal.signal(signal.SIGTERM, self._before)

    def given(self) -> bool:
        """Whether this host was said to go."""
        return self._given.is_set()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
        self._given.set()

    def _watch(self) -> None:
        silent = 0
        while not self._closed.is_set():
            answer = is_announced(self._metadata)
            if answer:
                self._given.set()
                return
            silent = silent + 1 if answer is None else -(10**9)  # it is there: never give it up
            if silent >= GIVE_UP_AFTER:
                return
            self._closed.wait(POLL_S)


def is_announced(metadata: str) -> bool | None:
    """Whether the host is about to be stopped or terminated; None where nobody answers."""
    try:
        token = _ask(metadata + _TOKEN, "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        _ask(metadata + _ACTION, "GET", {"X-aws-ec2-metadata-token": token})
    except urllib.error.HTTPError as error:  # 404: no action is planned
        return False if error.code == 404 else None
    except (OSError, ValueError):
        return None
    return True


def _ask(url: str, method: str, headers: dict[str, str]) -> str:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the address is this host's own
    request = urllib.request.Request(url, method=method, headers=headers)
    with direct.open(request, timeout=TIMEOUT_S) as answer:
        return answer.read(4096).decode()
