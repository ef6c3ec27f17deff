"""The training process from outside: exit codes, streams, Dagster Pipes, accelerate, SIGTERM."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from resource import RLIMIT_FSIZE

import pytest

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import __main__ as entry
from bioicons_pipeline.training.errors import NonFiniteError

COMMAND = [sys.executable, "-m", "bioicons_pipeline.training"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def _main_leaves_this_process_alone(monkeypatch):
    """`main` called here must not bind the test process to its parent or keep its signal handler."""
    monkeypatch.setattr(entry, "_end_with_launcher", lambda: None)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def run_process(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=300, **options
    )


def write_request(request, folder: Path) -> str:
    path = folder / "request.json"
    path.write_text(request.to_json())
    return str(path)


def test_help(capsys):
    with pytest.raises(SystemExit) as caught:
        entry.main(["--help"])
    assert caught.value.code == 0 and "--request" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No request: give --request FILE"),
        ("{", "The training request is not valid"),
        ("missing", "cannot be read"),
    ],
)
def test_bad_requests_are_one_sentence_and_exit_code_2(text, message, tmp_path, capsys):
    arguments = []
    if text == "missing":
        arguments = ["--request", str(tmp_path / "none.json")]
    elif text is not None:
        (tmp_path / "r.json").write_text(text)
        arguments = ["--request", str(tmp_path / "r.json")]
    assert entry.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and message in captured.err and captured.err.count("\n") == 1
    assert captured.out == ""


def test_the_sentence_is_left_where_a_launcher_asks_for_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BIOICONS_TRAINING_ERROR_FILE", str(tmp_path / "error.txt"))
    assert entry.main([]) == 2
    told = json.loads((tmp_path / "error.txt").read_text())
    assert f"error: {told['error']}\n" == capsys.readouterr().err and set(told) == {"error"}


def test_numbers_that_run_away_are_told_apart(tmp_path, monkeypatch, make_request, capsys):
    def diverge(*_):
        raise NonFiniteError("loss", 7, ["an-icon"], [0.5])

    monkeypatch.setenv("BIOICONS_TRAINING_ERROR_FILE", str(tmp_path / "error.txt"))
    monkeypatch.setattr(entry, "_train", diverge)
    monkeypatch.setattr(entry, "check_base", lambda base: None)
    (tmp_path / "request.json").write_text(make_request().model_dump_json())
    assert entry.main(["--request", str(tmp_path / "request.json")]) == 2
    told = json.loads((tmp_path / "error.txt").read_text())
    assert told["diverged"] is True and "not finite at step 7" in told["error"]


def test_a_missing_base_fails_before_torch_is_imported(make_request, tmp_path):
    """In a process of its own: one sentence, exit code 2, no traceback, nothing written."""
    request = make_request().model_copy(update={"base": str(tmp_path / "nowhere")})
    code = (
        "import sys; sys.argv = ['x', '--request', sys.argv[1]];"
        "from bioicons_pipeline.training.__main__ import main; code = main();"
        "print([m for m in ('torch', 'diffusers') if m in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, write_request(request, tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and done.stdout.strip() == "[]"
    assert done.stderr.startswith("error: Base model") and done.stderr.count("\n") == 1
    assert not Path(request.work_dir).exists()


def test_alone_the_outcome_is_the_last_line_of_stdout(make_request, tmp_path):
    request = make_request(steps=2, warmup_steps=0, eval_every=0)
    done = run_process("--request", write_request(request, tmp_path))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.strip().splitlines()[-1])
    assert Store(request.store_root).version(summary["version_id"]).id == summary["version_id"]
    assert "training 2/2" in done.stderr and "Loading" not in done.stderr and "rning:" not in done.stderr


def test_a_full_disk_is_one_sentence_and_the_training_goes_on_later(make_request, tmp_path):
    """The kernel's own limit on a file's size, which checkpoints are over."""
    request = make_request(steps=4, checkpoint_every=2, eval_every=2)
    path = write_request(request, tmp_path)
    limit = (20_000, 20_000)
    done = run_process("--request", path, preexec_fn=lambda: resource.setrlimit(RLIMIT_FSIZE, limit))
    assert done.returncode == 2 and "Traceback" not in done.stderr and "step     0" in done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert f"{request.work_dir} cannot be written (File too large): free some space there and run it" in said
    assert run_process("--request", path).returncode == 0


def test_in_dagster_pipes(make_request, tmp_path, capfd):
    """Messages and logs arrive, the request may come as an extra, and no ref is set."""
    import dagster as dg

    request = make_request(steps=2, warmup_steps=0, eval_every=1)
    received = []

    @dg.asset
    def weights(context: dg.AssetExecutionContext, client: dg.PipesSubprocessClient):
        done = client.run(
            command=COMMAND,
            context=context,
            extras={"request": request.model_dump(mode="json")},
            env={"OMP_NUM_THREADS": "1"},
        )
        received.extend(done.get_custom_messages())
        return done.get_materialize_result()

    result = dg.materialize([weights], resources={"client": dg.PipesSubprocessClient()})
    assert result.success
    (message,) = received
    assert message["version_id"] == message["summary"]["version_id"]
    assert message["summary"]["steps"] == 2
    assert "fixed-noise loss at step 2" in capfd.readouterr().err
    assert not (Path(request.store_root) / "refs").exists()


@pytest.mark.slow
def test_under_accelerate_launch(make_request, tmp_path):
    request = make_request(steps=2, warmup_steps=0, eval_every=0)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--cpu", "-m"]
    done = subprocess.run(
        [*launch, "bioicons_pipeline.training", "--request", write_request(request, tmp_path)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1])["steps"] == 2


STOPPED = {"steps": 200, "eval_every": 50, "checkpoint_every": 20, "workers": 1}


@pytest.fixture(scope="module")
def undisturbed(make_request, tmp_path_factory):
    """Outcome of the run that nobody stops."""
    path = write_request(make_request(**STOPPED), tmp_path_factory.mktemp("undisturbed"))
    done = run_process("--request", path, "--quiet")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_stopped_at_a_random_moment_and_started_again(stop, undisturbed, make_request, tmp_path):
    """A real process is stopped in mid-training; the next one ends where an undisturbed one does."""
    request = make_request(**STOPPED)
    path = write_request(request, tmp_path)
    process = subprocess.Popen(
        [*COMMAND, "--request", path],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    deadline = time.monotonic() + 120
    while not list(Path(request.work_dir).glob("runs/*/checkpoints/step-00000060")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(stop)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if stop == signal.SIGKILL else 130), stderr
    assert "Traceback" not in stderr
    done = run_process("--request", path, "--quiet")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.strip().splitlines()[-1])
    assert summary["version_id"] == undisturbed["version_id"] and summary["resumed_from"] >= 60
