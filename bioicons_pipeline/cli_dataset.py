"""`bioicons export …` and `bioicons publish …`: what leaves the store for other programs and for the hub.

Belongs here: options, progress bars and tables of these verbs. Does not belong here: layouts and the licence
gate (dataset/), where a version lies (store/). A further thing to publish is one more command of
`publish_app`, with `hub_api` for its uploads: cli_lora is one.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bioicons_pipeline.cli_display import AsJson, Bar, library_manifest, not_built, progress_bars, say_json
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.settings import Settings, get_settings

export_app = typer.Typer(
    help="Write what was built into a folder that other programs read.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
publish_app = typer.Typer(
    help="Push what was built to the Hugging Face hub, with your own token.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
Category = Annotated[
    str | None,
    typer.Option(help="One scientific category, e.g. Animals; default: the library-wide dataset."),
]


class OutdatedError(BioiconsError):
    """What is to be exported or published has icons that were withdrawn since it was built."""


class EmptyError(BioiconsError):
    """There is no icon to write."""


@export_app.callback()
def export() -> None:
    """Write what was built into a folder that other programs read."""


@publish_app.callback()
def publish() -> None:
    """Push what was built to the Hugging Face hub, with your own token (HF_TOKEN or `hf auth login`)."""


@export_app.command("dataset", short_help="The newest dataset, credits included.")
def export_dataset(
    out: Annotated[Path, typer.Option(help="Folder to write; it must be empty or not exist.")],
    category: Category = None,
    format: Annotated[
        str,
        typer.Option(
            help="parquet: the dataset itself; imagefolder: pictures and metadata.jsonl; pairs: PNG + TXT."
        ),
    ] = "parquet",
    force: Annotated[
        bool, typer.Option("--force", help="Replace the folder, with everything that is in it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Export the newest dataset, credits included.

    A dataset with an icon that was withdrawn since is refused: upstream deleted it, the curator or the
    licence rules leave it out, or its licence changed. Credits and licence texts go with every format.
    `datasets.load_dataset(folder)` opens parquet and imagefolder without any code of this project. The folder
    is complete or absent: stopped half-way, nothing is left.
    """
    from bioicons_pipeline.dataset import check_export
    from bioicons_pipeline.dataset import export_dataset as write

    settings = get_settings()
    check_export(out, format, replace=force)
    _refuse_to_replace(out, settings)
    with _built_dataset(settings, category) as (folder, facts, bar):
        count = write(folder, out, format, bar("writing icons"), replace=force)
    if as_json:
        say_json({"icons": count, "format": format, "folder": out, "commit": facts["commit"]})
        return
    typer.echo(f"{count} icons as {format} in {out} (upstream state {facts['commit'][:15]})")


@publish_app.command("dataset", short_help="The newest dataset, with card and credits.")
def publish_dataset(
    repo: Annotated[str, typer.Option(help="Dataset repository on the hub, owner/name; made if missing.")],
    category: Category = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go, and send nothing; needs no token.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Push the newest dataset to the hub, with its card, credits and licence texts.

    A dataset with an icon outside the licence preset (BIOICONS_LICENCE_PRESET), or with one that was
    withdrawn since, is refused. The token is yours: HF_TOKEN, or what `hf auth login` stored; it is never
    asked for or kept.
    """
    from bioicons_pipeline.dataset import plan_publish, write_croissant
    from bioicons_pipeline.dataset import publish_dataset as push

    settings = get_settings()
    preset = settings.licence_preset
    with _built_dataset(settings, category) as (folder, _, bar):
        write_croissant(folder, bar("describing"))
        plan = plan_publish(folder, repo, preset, private=private)
        if not dry_run:
            push(folder, repo, preset, api=hub_api(), private=private)
    address = f"https://huggingface.co/datasets/{repo}"
    if as_json:
        shown = {"sent": not dry_run, "repo": repo, "address": address, "private": private, "preset": preset}
        shown |= {"icons": plan.icons, "bytes": plan.size, "licences": dict(plan.licence_mix)}
        say_json(shown | {"files": dict(plan.files)})
    elif dry_run:
        _show(plan, preset)
    else:
        typer.echo(f"{plan.icons} icons, {readable_bytes(plan.size)}: {address}")


def hub_api() -> Any:
    """huggingface_hub's own client, with the user's token.

    Raises:
        NotLoggedInError: there is no token, which the hub would only tell after everything was read.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils import enable_progress_bars

    if get_token() is None:
        raise NotLoggedInError("There is no Hugging Face token: run `hf auth login`, or set HF_TOKEN.")
    enable_progress_bars()  # loading a base may have switched them off
    Console(stderr=True).print("Uploading to the hub")
    return HfApi()


class NotLoggedInError(BioiconsError):
    """Publishing needs the user's token."""


@contextmanager
def _built_dataset(
    settings: Settings, category: str | None
) -> Iterator[tuple[Path, dict, Callable[[str], Bar]]]:
    """(folder, facts, opener of progress bars) of the newest dataset, checked out of the store for a while.

    Raises:
        NotBuiltError: there is none; says which command makes it.
        OutdatedError: the category is gone upstream, or an icon was withdrawn since.
        EmptyError: no icon of it may be used.
    """
    from bioicons_pipeline.orchestration.stages import base
    from bioicons_pipeline.orchestration.stages.gone import gone_since
    from bioicons_pipeline.store import Store

    store = Store(settings.resolved_store_root)
    ref = store.get_ref(base.DATASET, partition=category)
    if ref is None:
        raise not_built(store, category)
    if commit := gone_since(store, category):  # its last dataset stays in the store, for what learnt from it
        raise OutdatedError(
            f"{category} was withdrawn upstream (seen at {commit[:12]}): its last dataset is not handed out "
            "any more, choose another category."
        )
    if not (ref.info or {}).get("icons", 1):
        raise EmptyError(
            f"{category or 'The library'} has no icon that may be used: `bioicons manifest"
            f"{f' --category {category}' if category else ''}` says why each is left out."
        )
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="dataset-", dir=settings.work_dir) as scratch,
        progress_bars() as bar,
    ):
        folder = Path(scratch) / "dataset"
        store.checkout(ref.version_id, folder, progress=bar("reading files"))
        _refuse_withdrawn(folder, library_manifest(store), category)
        yield folder, dict(ref.info or {}), bar


def _refuse_withdrawn(folder: Path, manifest: Any, category: str | None) -> None:
    """Let no icon out that may not be used any more: a dataset is older than the manifest until the next run,
    and for as long as a gate stops it.

    Raises:
        OutdatedError: names such icons.
    """
    from bioicons_pipeline.dataset import icons_of
    from bioicons_pipeline.library.findings import in_short, withdrawn_icons

    if found := withdrawn_icons(icons_of(folder), manifest):
        chosen = f"--category {category} " if category else ""
        raise OutdatedError(
            f"The dataset of {category or 'the library'} has {in_short(found)}: make it again with "
            f"`bioicons run {chosen}--until icon_dataset`."
        )


def _refuse_to_replace(out: Path, settings: Settings) -> None:
    """Keep --force from taking away what cannot have been an export."""
    target = out.resolve()
    for kept in (Path.cwd(), Path.home(), settings.root):
        if target == kept.resolve() or target in kept.resolve().parents:
            raise BioiconsError(f"{out} holds {kept}, which an export must not replace: give another folder.")
    store = Path(settings.resolved_store_root)
    if "://" not in str(settings.resolved_store_root) and store.resolve() in (target, *target.parents):
        raise BioiconsError(f"{out} is inside the artifact store: give another folder.")


def _show(plan: Any, preset: str) -> None:
    """The tables of a dry run, on stdout."""
    show_files(plan.files, plan.repo_id, plan.private)
    licences = Table("licence", title=f"All within the licence preset {preset}")
    licences.add_column("icons", justify="right")
    for spdx, count in plan.licence_mix:
        licences.add_row(spdx, str(count))
    licences.add_section()
    licences.add_row("all", str(plan.icons))
    Console(highlight=False).print(licences)
    typer.echo("Dry run: nothing was sent.")


def show_files(listed: Any, repo: str, private: bool) -> None:
    """(path, bytes) of all that would go, as a table on stdout."""
    files = Table("file", title=f"To {repo} ({'private' if private else 'public'})")
    files.add_column("size", justify="right", no_wrap=True)
    for name, size in listed:
        files.add_row(name, readable_bytes(size))
    files.add_section()
    files.add_row(f"{len(listed)} files", readable_bytes(sum(size for _, size in listed)))
    Console(highlight=False).print(files)


def readable_bytes(size: int) -> str:
    """A size for people: 812 B, 14.2 kB, 1.3 GB (powers of 1000, as the hub counts)."""
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
