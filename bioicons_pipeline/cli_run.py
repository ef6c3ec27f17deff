"""`bioicons run` and `bioicons demo`: the pipeline, seen from a terminal.

Belongs here: options, progress and summary of these verbs. Does not belong here: which stages there are and
what they do (orchestration).
"""

import os
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bioicons_pipeline.cli_display import AsJson, Display, say_json
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.settings import Settings, get_settings

Say = Callable[[str], None]


class StoppedError(BioiconsError):
    """The user pressed Ctrl-C; caught before Typer makes a bare "Aborted!" of it."""

    exit_code = 130


def run(
    source: Annotated[
        str | None,
        typer.Option(
            help="Upstream library: git URL, clone, bundle, plain folder, or 'starter'. Default: the public "
            "bioicons repository.",
            show_default=False,
        ),
    ] = None,
    ref: Annotated[
        str | None, typer.Option(help="Commit, tag or branch; default: the newest.", show_default=False)
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(help="One scientific category, e.g. Animals; default: the whole library as one."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Base model: a name (flux-nano, flux1-dev, flux1-schnell) or a folder in diffusers layout."
        ),
    ] = None,
    until: Annotated[
        str, typer.Option(help="Last stage to run, e.g. icon_dataset or evaluation_report.")
    ] = "sample_grid",
    preset: Annotated[
        str | None, typer.Option(help="Training preset; default: the one that suits the base.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="LoRA rank.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Training seed.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the dataset's pictures, px.")] = None,
    sampling_steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Denoising steps of the sample grid; default: what suits the base, mostly 28."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Train even if nothing changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the pipeline: snapshot, manifest, pictures, captions, dataset, LoRA, sample grid.

    What did not change since the last time is left out. Everything shows in the Dagster UI.
    """
    from bioicons_pipeline.orchestration.pipeline import Options

    settings = get_settings()
    training = {"preset": preset, "steps": steps, "rank": rank, "learning_rate": learning_rate, "seed": seed}
    options = Options(
        source=source or settings.source,
        ref=ref if source or ref else settings.ref,
        category=category,
        base=base or settings.base,
        until=until,
        training={key: value for key, value in training.items() if value is not None}
        | ({"force": True} if force else {}),
        sampling={"steps": sampling_steps} if sampling_steps else {},
        render_size=size,
    )
    _run(options, as_json)


def demo(
    base: Annotated[str, typer.Option(help="Base model.")] = "flux-nano",
    steps: Annotated[int | None, typer.Option(min=200, help="Training steps, at least 200.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run everything on the small starter library: no network, no GPU, no token, a few minutes."""
    from bioicons_pipeline.orchestration.pipeline import Options

    options = Options(
        source="starter",
        ref=None,
        category=None,
        base=base,
        training={"steps": steps} if steps else {},
        render_size=512,
    )
    _run(options, as_json)


def _run(options, as_json: bool) -> None:
    warnings.filterwarnings("ignore")
    from bioicons_pipeline.orchestration import launch, pipeline
    from bioicons_pipeline.orchestration.instance import shared_instance

    settings = get_settings()
    pipeline.check_options(options, settings)
    log = settings.root / "logs" / f"run-{time.strftime('%Y%m%d-%H%M%S')}.log"
    started = time.monotonic()
    with launch.terminal_kept(log) as terminal:
        console = Console(file=terminal, highlight=False, soft_wrap=True)
        display = Display(console)
        console.print(
            f"Source {escape(options.source)}, base {escape(options.base)}; details in {escape(str(log))}"
        )
        try:
            with shared_instance(settings) as instance, display:
                summary = pipeline.run_pipeline(settings, options, instance, display.show)
        except KeyboardInterrupt as error:
            raise StoppedError(
                "Stopped. What was finished is kept; the same command goes on from there."
            ) from error
        except launch.JobFailedError as error:
            raise error.with_log(log) from error
    _report(summary, options, time.monotonic() - started, as_json)


def _report(summary, options, seconds: float, as_json: bool) -> None:
    """What came out and where it is, on stdout; then the verdict on a category that is too small."""
    if as_json:
        shown = {"category": summary.category, "outputs": summary.outputs, "facts": summary.facts}
        say_json(shown | {"seconds": round(seconds, 1)})
    else:
        _say_summary(summary, seconds)
    from bioicons_pipeline.orchestration.stages import base as names

    weights = summary.facts.get(names.WEIGHTS)
    if weights and weights["status"] != "trained":
        why = "all of them are held out" if "held out" in weights["reason"] else "needs at least 12"
        advice = "add icons to it, or give another --source."
        if options.category:
            advice = "choose a larger category or leave --category out for the library-wide LoRA."
        what = options.category or "The library"
        raise BioiconsError(f"{what} was not trained: it has {weights['icons']} icons and {why}; {advice}")


def _say_summary(summary, seconds: float) -> None:
    """The same for people."""
    from bioicons_pipeline.orchestration.stages import base as names
    from bioicons_pipeline.training.files import WEIGHTS_NAME

    say: Say = lambda text: typer.echo(text)  # noqa: E731
    settings = get_settings()
    snapshot = summary.facts.get(names.SNAPSHOT)
    if snapshot:
        say(
            f"Library  {snapshot['icons']} icons in {len(snapshot['categories'])} categories · "
            f"{snapshot['source_url']} at {snapshot['commit'][:15]}"
        )
    dataset = summary.facts.get(names.DATASET)
    if dataset:
        mix = ", ".join(f"{spdx} {count}" for spdx, count in sorted(dataset["licence_mix"].items()))
        say(
            f"Dataset  {dataset['icons']} icons ({dataset['splits']['train']} train, "
            f"{dataset['splits']['heldout']} held out) · {mix}"
        )
    weights = summary.facts.get(names.WEIGHTS)
    trained = bool(weights) and weights["status"] == "trained"
    if trained:
        loss = weights["fixed_noise_loss"]
        say(
            f"Training {weights['steps']} steps on {weights['base']} · fixed-noise loss "
            f"{loss['before']:.4f} before, {loss['after']:.4f} after"
        )
    say("")
    labels = {
        names.DATASET: "dataset", names.WEIGHTS: "LoRA", names.GRID: "grid", names.EVALUATION: "report",
    }  # fmt: skip
    files = {names.WEIGHTS: WEIGHTS_NAME, names.GRID: "grid.png", names.EVALUATION: "report.html"}
    for asset, folder in summary.outputs.items():
        if asset != names.DATASET and weights and not trained:
            continue  # its folder has nothing but the reason, which is said below
        path = folder / files.get(asset, "")
        say(f"{labels[asset]:<8} {path if path.exists() else folder}")
    _warn_of_withdrawn(say, settings)
    say(f"UI       {ui_command(settings)}   then http://localhost:3000")
    if trained or not weights:
        say(f"Done in {seconds:.0f} s.")


def _warn_of_withdrawn(say: Say, settings) -> None:
    """Name the adapters that were trained on icons which may not be used any more."""
    from bioicons_pipeline.library.findings import in_short
    from bioicons_pipeline.orchestration.stages.base import WEIGHTS, MissingInputError
    from bioicons_pipeline.orchestration.stages.withdrawn import out_of_date
    from bioicons_pipeline.store import Store

    store = Store(settings.resolved_store_root)
    try:
        found = out_of_date(store, tuple(store.list_bases(WEIGHTS)))  # a folder may be a base as well
    except MissingInputError:  # stopped after the snapshot: there is no manifest to compare with
        return
    for adapter, icons in found.items():
        say(f"OUT OF DATE  the LoRA of {adapter} was trained on {in_short(icons)}: train it again.")


def ui_command(settings: Settings) -> str:
    """The command that opens the Dagster UI on the same history and data as this command line, as a shell
    takes it."""
    dagster = shlex.quote(_own_program("dagster"))
    usual = settings.root == Path.cwd() / "data"
    own_home = bool(os.environ.get("DAGSTER_HOME"))  # obeyed by `shared_instance`, and by Dagster itself
    workspace = (Path.cwd() / "dagster.yaml").is_file() and usual and not own_home
    places: dict[str, Path | str] = {} if workspace or own_home else {"DAGSTER_HOME": settings.dagster_dir}
    # these may have been given to this one command
    if not usual:
        places["BIOICONS_DATA_DIR"] = settings.root
    if settings.store_root is not None:
        places["BIOICONS_STORE_ROOT"] = settings.resolved_store_root
    before = "".join(f"{name}={shlex.quote(str(place))} " for name, place in places.items())
    return f"{before}{dagster} dev" + ("" if workspace else " -m bioicons_pipeline.definitions")


def _own_program(name: str) -> str:
    """A program of the environment that runs this; its bare name where a shell would find this very one."""
    own = Path(sys.executable).parent / name
    found = shutil.which(name)
    if not own.exists() or (found and Path(found).exists() and own.samefile(found)):
        return name
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)
