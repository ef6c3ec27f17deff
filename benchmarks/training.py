"""What the trainer costs beside the arithmetic, and beside the plain loop that most scripts are.

    python benchmarks/training.py [--steps N] [--icons N …]          # about nine minutes on two cores

All on flux-nano as it ships, at the numbers of the preset `cpu-nano`, with pictures made here. Three ways
take turns on blocks of steps in one process, so that whatever else the machine does falls on all of them:

- bare: forward, backward and optimizer step of the adapted transformer on one batch that lies ready;
- ours: the trainer's own step, with reading the cache, drawing noise, checks and clipping;
- plain: the loop of the widely copied script, which keeps VAE and both text encoders in memory and encodes
  the pictures and captions of every batch anew.

Start-up, peak memory and memory by number of icons are measured in processes of their own. Read the ratios,
not the seconds. Writes benchmarks/results/training.json.
"""

import argparse
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
Found = dict[str, Any]
RESULT = Path("benchmarks/results/training.json")
BASE = "flux-nano"
CAPTION = "bioicons style, a {} {} number {}, isolated on a white background"


def rows(count: int) -> list[dict[str, Any]]:
    """`count` different icons in the dataset's layout: coloured shapes of 64 px."""
    import hashlib

    from PIL import Image, ImageDraw

    made = []
    for index in range(count):
        colour = [("red", (200, 40, 40)), ("green", (40, 150, 60)), ("blue", (40, 70, 190))][index % 3]
        image = Image.new("RGB", (64, 64), "white")
        draw = ImageDraw.Draw(image)
        box = (6 + index % 7, 6 + index % 11, 57 - index % 13, 57 - index % 5)
        shape = ("cell", "plate")[index % 2]
        (draw.ellipse if shape == "cell" else draw.rectangle)(box, fill=colour[1], outline="black")
        draw.point((index % 64, index // 64 % 64), fill="black")  # no two pictures are the same
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        caption = CAPTION.format(colour[0], shape, index)
        made.append(
            {
                "icon_id": hashlib.sha256(f"icon {index}".encode()).hexdigest()[:16],
                "image": {"bytes": buffer.getvalue(), "path": f"{index}.png"},
                "caption": caption,
                "captions": [caption],
            }
        )
    return made


def dataset(folder: Path, count: int) -> str:
    """A dataset version of `count` training icons and 16 held-out ones in a store under `folder`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bioicons_pipeline.store import Store

    every, files = rows(count + 16), {}
    for split, part in (("train", every[:count]), ("heldout", every[count:])):
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(part), buffer)
        files[f"data/{split}-00000-of-00001.parquet"] = buffer.getvalue()
    return Store(folder / "store").commit(files).id


def request_of(folder: Path, dataset_version: str, work: str, steps: int) -> Any:
    """A training of `steps` steps as `cpu-nano` trains, without evaluations on the way."""
    from bioicons_pipeline.training.presets import preset
    from bioicons_pipeline.training.request import TrainingRequest

    changes = {"steps": steps, "eval_every": 0, "eval_icons": 1, "tensorboard": False}
    return TrainingRequest(
        store_root=str(folder / "store"),
        dataset_version=dataset_version,
        base=BASE,
        config=preset("cpu-nano", **changes, checkpoint_every=steps),
        partition="benchmark",
        work_dir=str(folder / work),
    )


def ours(folder: Path, dataset_version: str, work: str, steps: int) -> Any:
    """The trainer, ready for its first step."""
    from bioicons_pipeline.training import prepare, run
    from bioicons_pipeline.training.progress import Display

    request = request_of(folder, dataset_version, work, steps)
    path = Path(request.work_dir)
    base = run.resolve_base(request.base, path / "cache")
    folder = prepare.checkout_dataset(request.store_root, request.dataset_version, path)
    train_set, heldout = run.open_dataset(folder)
    accelerator = run.make_accelerator(request.config)
    display = Display(steps=steps, quiet=True)
    return prepare.prepare(request, base, train_set, heldout, {}, path / "run", accelerator, display)


class Bare:
    """Forward, backward and optimizer step of the trainer's own modules, on one batch that lies ready."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.batch = trainer, trainer.source[0]

    def step(self) -> None:
        self.trainer.losses(self.batch).mean().backward()
        self.trainer.optimizer.step()
        self.trainer.optimizer.zero_grad(set_to_none=True)


class Plain:
    """The usual script's loop: everything in memory, pictures and captions encoded at every step."""

    def __init__(self, config: Any, train: list[dict[str, Any]]) -> None:
        import torch
        from diffusers import FluxPipeline

        from bioicons_pipeline.training.adapter import add_adapter, trainable
        from bioicons_pipeline.training.base_models import PACKAGED_NANO

        self.config, self.rows = config, train
        # as ours on a CPU: the files hold bf16
        self.pipeline = FluxPipeline.from_pretrained(str(PACKAGED_NANO), torch_dtype=torch.float32)
        for part in (self.pipeline.vae, self.pipeline.text_encoder, self.pipeline.text_encoder_2):
            part.requires_grad_(False)
        self.transformer = self.pipeline.transformer.eval()
        add_adapter(self.transformer, config)
        self.parameters = list(trainable(self.transformer).values())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=config.learning_rate)
        self.generator = torch.Generator().manual_seed(0)
        self.done = 0

    def step(self) -> None:
        import torch

        from bioicons_pipeline.training.cache import decode_png
        from bioicons_pipeline.training.objective import Conditioning, flow_matching_loss, scale_latents

        count, vae = self.config.batch_size, self.pipeline.vae
        batch = [self.rows[(self.done * count + index) % len(self.rows)] for index in range(count)]
        pictures = [
            decode_png(row["image"]["bytes"], self.config.resolution, row["icon_id"]) for row in batch
        ]
        with torch.no_grad():
            latents = vae.encode(torch.stack(pictures)).latent_dist.sample(self.generator)
            t5, pooled = self.pipeline.encode_prompt(
                [row["caption"] for row in batch], max_sequence_length=self.config.t5_length
            )[:2]
        x = scale_latents(latents, vae.config.shift_factor, vae.config.scaling_factor)
        sigma = torch.sigmoid(torch.randn(count, generator=self.generator))
        noise = torch.randn(x.shape, generator=self.generator)
        loss = flow_matching_loss(self.transformer, x, noise, sigma, Conditioning(t5, pooled), 1.0).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.done += 1

    def save(self, folder: Path) -> None:
        """The usual checkpoint: the whole transformer's trained part and the optimizer, pickled."""
        import torch

        torch.save(
            {"weights": self.parameters, "optimizer": self.optimizer.state_dict()}, folder / "plain.pt"
        )


def steps_side_by_side(folder: Path, blocks: int, block: int) -> Found:
    """Milliseconds a step of the three ways, by blocks that take turns; and what a checkpoint costs."""
    from bioicons_pipeline.training.loop import batches

    dataset_version = dataset(folder, 64)
    total = (blocks + 1) * block
    mine = ours(folder, dataset_version, "side", total)
    bare = Bare(ours(folder, dataset_version, "side", total))
    plain = Plain(mine.config, rows(64))
    stream = batches(mine.source, 0, total, 0)
    ways = {"bare": bare.step, "ours": lambda: mine.train_step(stream), "plain": plain.step}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(blocks + 1):
        order = list(ways)[number % 3 :] + list(ways)[: number % 3]
        for name in order:
            started = time.perf_counter()
            for _ in range(block):
                ways[name]()
            if number:  # the first block warms up
                taken[name].append(1e3 * (time.perf_counter() - started) / block)
    saves: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(5):
        for name, save in (("ours", mine.save), ("plain", lambda: plain.save(folder))):
            started = time.perf_counter()
            save()
            saves[name].append(1e3 * (time.perf_counter() - started))
    step = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "step_ms": step,
        "step_ms_blocks": taken,
        # within a round, where the machine was the same for all
        "ours_over_bare": statistics.median(a / b for a, b in zip(taken["ours"], taken["bare"], strict=True)),
        "plain_over_ours": statistics.median(
            a / b for a, b in zip(taken["plain"], taken["ours"], strict=True)
        ),
        "checkpoint_ms": {name: statistics.median(values) for name, values in saves.items()},
        "checkpoint_steps": {
            name: statistics.median(values) / step["ours"] for name, values in saves.items()
        },
    }


def child(way: str, folder: Path, dataset_version: str, icons: int, steps: int, started: float) -> Found:
    """One way from the start of its process: seconds to the first step, peak memory after `steps`."""
    if way == "plain":
        from bioicons_pipeline.training.presets import preset

        plain = Plain(preset("cpu-nano"), rows(icons))
        step = plain.step
    else:
        from bioicons_pipeline.training.loop import batches

        trainer = ours(folder, dataset_version, f"child-{icons}", steps)
        stream = batches(trainer.source, 0, steps, 0)
        step = lambda: trainer.train_step(stream)  # noqa: E731
    step()
    first = time.time() - started
    for _ in range(steps - 1):
        step()
    return {"start_s": first, "peak_mib": peak_memory() / 2**20}


def peak_memory() -> int:
    """Bytes of main memory that this process had at most. Not by getrusage where it can be helped: on Linux
    that remembers the process that started this one, which is larger."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def in_its_own_process(way: str, folder: Path, dataset_version: str, icons: int, steps: int) -> Found:
    """`child` in a fresh interpreter, whose imports count."""
    arguments = [way, str(folder), dataset_version, str(icons), str(steps), repr(time.time())]
    done = subprocess.run(
        [sys.executable, __file__, "--child", *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def processes(folder: Path, icons: list[int], steps: int) -> Found:
    """Start-up and peak memory of both ways, and ours by number of icons."""
    found: dict[str, Any] = {"by_icons": {}}
    for count in icons:
        version_id = dataset(folder, count)
        cold = in_its_own_process("ours", folder, version_id, count, steps)
        warm = in_its_own_process("ours", folder, version_id, count, steps)
        found["by_icons"][count] = {"first run": cold, "again": warm}
    found["plain"] = in_its_own_process("plain", folder, "-", icons[0], steps)
    found["ours, first run"], found["ours, again"] = found["by_icons"][icons[0]].values()
    return found


def table(result: dict[str, Any]) -> str:
    """The results for people."""
    side, apart = result["side_by_side"], result["processes"]
    lines = [f"{'':<28}{'bare':>12}{'ours':>12}{'plain':>12}"]
    lines.append(
        f"{'ms a step':<28}" + "".join(f"{side['step_ms'][n]:>12.1f}" for n in ("bare", "ours", "plain"))
    )
    lines.append(f"{'over bare':<28}{1:>12}{side['ours_over_bare']:>12.3f}{'':>12}")
    lines.append(f"{'over ours':<28}{'':>12}{1:>12}{side['plain_over_ours']:>12.2f}")
    saves = side["checkpoint_ms"]
    lines.append(f"{'checkpoint, ms':<28}{'':>12}{saves['ours']:>12.1f}{saves['plain']:>12.1f}")
    for name, key in (("s to the first step", "start_s"), ("peak memory, MiB", "peak_mib")):
        first, again, plain = (apart[way][key] for way in ("ours, first run", "ours, again", "plain"))
        lines.append(f"{name + ', first run':<28}{'':>12}{first:>12.1f}{plain:>12.1f}")
        lines.append(f"{name + ', again':<28}{'':>12}{again:>12.1f}{plain:>12.1f}")
    for count, both in apart["by_icons"].items():
        peaks = " ".join(f"{way} {found['peak_mib']:.0f} MiB" for way, found in both.items())
        lines.append(f"peak memory, {count} icons: {peaks}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=27, help="rounds of the three ways; a multiple of 3")
    parser.add_argument("--block", type=int, default=8, help="steps a round")
    parser.add_argument("--icons", type=int, nargs="*", default=[64, 256, 1024])
    parser.add_argument("--steps", type=int, default=10, help="steps of a process of its own")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--child", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    from bioicons_pipeline.quiet import quieten_libraries

    if options.child:
        way, folder, dataset_version, icons, steps, started = options.child
        quieten_libraries()
        found = child(way, Path(folder), dataset_version, int(icons), int(steps), float(started))
        print(json.dumps(found))
        return
    quieten_libraries()
    import torch

    with tempfile.TemporaryDirectory(prefix="bioicons-benchmark-") as scratch:
        result = {
            "side_by_side": steps_side_by_side(Path(scratch), options.blocks, options.block),
            "processes": processes(Path(scratch), options.icons, options.steps),
            "machine": {
                "platform": platform.platform(),
                "cores": os.cpu_count(),
                "threads": torch.get_num_threads(),
                **{name: version(name) for name in ("torch", "diffusers", "peft")},
            },
        }
    print(table(result))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
