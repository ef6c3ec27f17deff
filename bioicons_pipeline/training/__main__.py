"""The training process: `python -m bioicons_pipeline.training`, alone, under `accelerate launch`, in Dagster.

Belongs here: reading the request, reporting the outcome, exit codes. Does not belong here: training (run).
It is the only module of this room that knows dagster_pipes, and it works without a Dagster around it.

Request: `--request FILE`, `--request -` (stdin), or under Dagster Pipes the extra `request`. Outcome: under
Pipes the custom message `{"version_id": …, "summary": {…}}`, or `{"error": …}` (with `"diverged": true` where
its numbers ran away), or `{"interrupted": true}`; always one JSON line, the last on stdout. Where Dagster
shares no disk with this process, Pipes goes through S3: the environment says so with BIOICONS_PIPES_S3, the
seconds between two uploads of messages.
Exit codes: 0 done, 2 the user can mend it (one sentence on stderr), 130 interrupted, 1 a fault of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.processes import PARENT_VARIABLE, end_with_parent
from bioicons_pipeline.training.base_models import check_base
from bioicons_pipeline.training.disk import full_disk_said
from bioicons_pipeline.training.errors import DivergedError, TrainingError
from bioicons_pipeline.training.request import TrainingRequest, parse_request

_PIPES_VARIABLE = "DAGSTER_PIPES_CONTEXT"
_S3_VARIABLE = "BIOICONS_PIPES_S3"
_ERROR_FILE_VARIABLE = "BIOICONS_TRAINING_ERROR_FILE"
"""Where to leave the message of an error: a launcher in between makes an exit code of its own out of ours."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one training; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bioicons_pipeline.training", description="Train one LoRA and commit it to the store."
    )
    parser.add_argument(
        "--request", help="file with the request as JSON, or - for stdin; see TrainingRequest"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    _end_with_launcher()
    try:
        with _Pipes() as pipes, pipes.told():
            request = _read_request(options.request, pipes.request)
            check_base(request.base)
            return _train(request, pipes, options.quiet)
    except BioiconsError as error:
        print(f"error: {error}", file=sys.stderr)
        if error_file := os.environ.get(_ERROR_FILE_VARIABLE):
            Path(error_file).write_text(json.dumps(_told(error)), encoding="utf-8")
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: run the same request again to go on from the last checkpoint", file=sys.stderr)
        return 130


def _train(request: TrainingRequest, pipes: _Pipes, quiet: bool) -> int:
    # before torch is imported: threads that spin while they wait starve whatever else this machine does
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from bioicons_pipeline.quiet import quieten_libraries
    from bioicons_pipeline.training.run import train  # torch and diffusers from here on

    quieten_libraries()
    with full_disk_said(request.work_dir):
        outcome = train(request, send=pipes.send, quiet=quiet)
    if outcome is not None:
        summary = outcome.model_dump(mode="json")
        pipes.result({"version_id": outcome.version_id, "summary": summary})
        print(json.dumps(summary), flush=True)
    return 0


def _read_request(argument: str | None, from_pipes: Any) -> TrainingRequest:
    if argument == "-":
        return parse_request(sys.stdin.read())
    if argument is not None:
        try:
            return parse_request(Path(argument).read_bytes())
        except OSError as error:
            raise TrainingError(
                f"The request file {argument} cannot be read ({error.strerror}): give a JSON file."
            ) from error
    if from_pipes is not None:
        return parse_request(from_pipes)
    raise TrainingError("No request: give --request FILE, or start this through Dagster Pipes.")


class _Pipes:
    """The channel to Dagster where there is one (and this is the main process); else it does nothing."""

    def __init__(self) -> None:
        self.request: Any = None
        self._context: Any = None

    def __enter__(self) -> _Pipes:
        if _PIPES_VARIABLE not in os.environ:
            return self
        if os.environ.get("RANK", "0") != "0":
            self.request = _request_of_launch()
        else:
            from dagster_pipes import open_dagster_pipes

            self._context = open_dagster_pipes(**_through_s3(writer=True))
            self._context.__enter__()
            self.request = self._context.extras.get("request")
        return self

    def __exit__(self, *details: Any) -> None:
        if self._context is not None:
            self._context.__exit__(*details)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell Dagster why the block ended early: an exit code says less, and a launcher may change it."""
        try:
            yield
        except BioiconsError as error:
            self.result(_told(error))
            raise
        except KeyboardInterrupt:
            self.result({"interrupted": True})
            raise

    def send(self, event: dict[str, Any]) -> None:
        """An event of `progress.Display` as a log line in Dagster, with the numbers in it."""
        if self._context is not None:
            self._context.log.info(_as_line(event))

    def result(self, message: dict[str, Any]) -> None:
        """The message that the asset waits for."""
        if self._context is not None:
            self._context.report_custom_message(message)


def _told(error: BioiconsError) -> dict[str, Any]:
    """An error as the message that `orchestration/backends` reads."""
    return {"error": str(error)} | ({"diverged": True} if isinstance(error, DivergedError) else {})


def _request_of_launch() -> Any:
    """The request as the main process gets it, for the other processes: one of them speaks to Dagster."""
    from dagster_pipes import PipesDefaultContextLoader, PipesEnvVarParamsLoader

    loader = _through_s3(writer=False).get("context_loader") or PipesDefaultContextLoader()
    with loader.load_context(PipesEnvVarParamsLoader().load_context_params()) as context:
        return (context.get("extras") or {}).get("request")


def _through_s3(*, writer: bool) -> dict[str, Any]:
    """Arguments of `open_dagster_pipes` for a Dagster that this process meets on S3 only; {} elsewhere."""
    interval = os.environ.get(_S3_VARIABLE)
    if interval is None:
        return {}
    from dagster_pipes import PipesS3ContextLoader, PipesS3MessageWriter

    from bioicons_pipeline.store.s3_errors import connect

    client = connect()
    found: dict[str, Any] = {"context_loader": PipesS3ContextLoader(client)}
    if writer:
        found["message_writer"] = PipesS3MessageWriter(client, interval=float(interval))
    return found


def _as_line(event: dict[str, Any]) -> str:
    formats: dict[str, Callable[[], str]] = {
        "note": lambda: event["text"],
        "phase": lambda: f"{event['phase']}: {event['done']} of {event['total']}",
        "step": lambda: (
            f"step {event['step']}/{event['steps']}, loss {event['loss']:.4f}, "
            f"{event['steps_per_second'] or 0:.2f} steps/s, {event['seconds_left'] or 0:.0f} s left, "
            f"{event['memory']}"
        ),
        "evaluation": lambda: (
            f"fixed-noise loss at step {event['step']}: train {event['train']:.4f}, held-out "
            + ("none" if event["heldout"] is None else f"{event['heldout']:.4f}")
        ),
        "validation": lambda: f"validation images at step {event['step']}: {Path(event['images'][0]).parent}",
    }
    return formats[event["event"]]()


def _end_with_launcher() -> None:
    """Get SIGTERM when the launcher dies: nothing would be left to take the result."""
    launcher = os.environ.get(PARENT_VARIABLE)
    end_with_parent(int(launcher) if launcher else None)


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
