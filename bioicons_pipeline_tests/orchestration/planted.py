"""The training entry with a fault planted: `python -m …planted "kill at 3"`, run as a task of `FakeEcs`."""

import os
import runpy
import signal
import sys
import time
from pathlib import Path


def main(fault: str) -> None:
    """Plant `fault`, then be the training entry."""
    name, _, number = fault.removeprefix("no exit code, ").partition(" at ")
    if number:
        act = {
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "spot warning": lambda: os.kill(os.getpid(), signal.SIGTERM),
            "hang": lambda: time.sleep(15),
        }[name]
        _at_step(int(number), act)
    else:
        from bioicons_pipeline.training import request

        real = request.parse_request

        def parse(text):
            found = real(text)
            {
                "exit 1": lambda: 1 / 0,
                "silent end": lambda: os._exit(0),
                "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
                "lie": _lie,
                "sleep": lambda: time.sleep(600),
                "commit": lambda: _commit(found, tell=True),
                "commit and lose the message": lambda: _commit(found, tell=False),
            }[name]()
            return found

        request.parse_request = parse
    sys.argv = ["bioicons_pipeline.training"]
    runpy.run_module("bioicons_pipeline.training", run_name="__main__")


def _at_step(number: int, act) -> None:
    from bioicons_pipeline.training import progress

    original = progress.Display.step

    def step(self, state, rate):
        original(self, state, rate)
        if state.step == number:
            act()

    progress.Display.step = step


def _lie() -> None:
    from dagster_pipes import PipesContext

    PipesContext.get().report_custom_message({"version_id": "0" * 64, "summary": {}})
    sys.exit(0)


def _commit(request, tell: bool) -> None:
    """All that a trainer does in the end, without a training: no two of these commit the same."""
    from dagster_pipes import PipesContext

    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.stored import StoredCheckpoints

    store = Store(request.store_root)
    version, summary = store.commit({"adapter": os.urandom(8)}), {"resumed_from": None}
    StoredCheckpoints(store, request.checkpoint_ref, Path(), request.lease).finish(version.id, summary)
    if tell:
        PipesContext.get().report_custom_message({"version_id": version.id, "summary": summary})
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
