"""`bioicons publish lora`: an adapter leaves for the hub.

Belongs here: options and tables of this verb, and what it reads from the store. Does not belong here: what
the repository holds and whether it may go (generation/release), the upload (dataset/hub).
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bioicons_pipeline.cli_dataset import hub_api, readable_bytes, show_files
from bioicons_pipeline.cli_display import AsJson, NotBuiltError, say_json
from bioicons_pipeline.settings import Settings, get_settings


def publish_lora(
    repo: Annotated[str, typer.Option(help="Model repository on the hub, owner/name; made if missing.")],
    category: Annotated[
        str | None, typer.Option(help="One scientific category; default: the library-wide LoRA.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Base model that it was trained on.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go, and send nothing; needs no token.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write what goes into this folder, to look at.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Push the newest LoRA to the hub: weights, model card, credits, licence texts, gallery.

    A LoRA that was trained on an icon outside the licence preset, or on one that was withdrawn since, is
    refused, and one whose evaluation says that it is no better than its base or copies training icons. The
    token is yours: HF_TOKEN, or what `hf auth login` stored; it is never asked for or kept.
    """
    from bioicons_pipeline.dataset.hub import check_repo_id
    from bioicons_pipeline.generation.release import release_files
    from bioicons_pipeline.whole import write_whole

    settings = get_settings()
    check_repo_id(repo)
    release, publication = _trained(settings, category, base or settings.base)
    files = release_files(release, repo, settings.licence_preset)
    if out is not None:
        for name, data in files.items():
            write_whole(out / name, data)
    if not dry_run:
        _push(settings, files, publication, repo, f"LoRA of {category or 'the library'}", private)
    listed = sorted((name, len(data)) for name, data in files.items())
    size, address = sum(size for _, size in listed), f"https://huggingface.co/{repo}"
    if as_json:
        shown = {"sent": not dry_run, "repo": repo, "address": address, "private": private}
        shown |= {"preset": settings.licence_preset, "base": publication.base, "version": publication.adapter}
        say_json(shown | {"bytes": size, "files": dict(listed)})
    elif dry_run:
        show_files(listed, repo, private)
        typer.echo("Dry run: nothing was sent.")
    else:
        typer.echo(f"{len(files)} files, {readable_bytes(size)}: {address}")


def _push(
    settings: Settings, files: dict[str, bytes], publication: Any, repo: str, message: str, private: bool
) -> None:
    """Send `files` to the hub, and remember which versions went there."""
    from bioicons_pipeline.dataset.hub import push
    from bioicons_pipeline.generation.release import REPLACES
    from bioicons_pipeline.orchestration.stages.published import remember
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.whole import write_whole

    api = hub_api()
    # before it is sent: killed in between, a note too many costs disk, one too few a published LoRA's origin
    remember(Store(settings.resolved_store_root), publication, repo)
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lora-", dir=settings.work_dir) as scratch:
        for name, data in files.items():
            write_whole(Path(scratch) / name, data)
        # an older release's ComfyUI file, say, may have learnt from an icon that was withdrawn since
        push(Path(scratch), repo, "model", message, api=api, private=private, replaces=REPLACES)


def _trained(settings: Settings, category: str | None, base_name: str) -> tuple[Any, Any]:
    """The newest LoRA with the credits of its dataset and its grid (`Release`), and which versions these are
    (`Publication`).

    Raises:
        NotBuiltError: there is none; says which command makes it.
        PublishRefusedError: an icon that it was trained on was withdrawn since, or its evaluation says that
            it is no better than the base, or returns training icons.
    """
    from bioicons_pipeline.dataset.hub import PublishRefusedError
    from bioicons_pipeline.generation.release import Release
    from bioicons_pipeline.library.findings import in_short
    from bioicons_pipeline.orchestration.stages import base as names
    from bioicons_pipeline.orchestration.stages.evaluation import refusals
    from bioicons_pipeline.orchestration.stages.published import Publication
    from bioicons_pipeline.orchestration.stages.weights import ref_name
    from bioicons_pipeline.orchestration.stages.withdrawn import out_of_date
    from bioicons_pipeline.orchestration.workshop import trained_ref
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.base_models import REGISTRY, resolve_base

    store = Store(settings.resolved_store_root)
    row = REGISTRY.get(base_name)
    stored_as = base_name if row else ref_name(resolve_base(base_name, settings.bases_dir))
    ref = trained_ref(store, category, stored_as)
    if ref is None:
        chosen = f" --category {category}" if category else ""
        raise NotBuiltError(
            f"There is no LoRA of {category or 'the library'} on {base_name}: train it with "
            f"`bioicons run{chosen} --base {base_name}`."
        )
    stale = out_of_date(store, (stored_as,)).get(f"{category or 'the library'} on {stored_as}")
    if stale:
        raise PublishRefusedError(
            f"The LoRA was trained on {in_short(stale)}: train it again before publishing."
        )

    refused = refusals(store, category, stored_as, ref.version_id)
    if refused:
        raise PublishRefusedError(
            f"The evaluation says of this LoRA: {' '.join(refused)} Train it again before publishing."
        )

    def read(version_id: str, wanted: Callable[[str], bool]) -> dict[str, bytes]:
        version = store.version(version_id)
        return {entry.path: store.read(version, entry.path) for entry in version.files if wanted(entry.path)}

    grid = store.get_ref(names.GRID, partition=category, base=stored_as)
    current = grid is not None and (grid.info or {}).get("adapter") == ref.version_id
    dataset = str((ref.info or {})["dataset_version"])
    shown = grid.version_id if grid is not None and current else None
    release = Release(
        adapter=read(ref.version_id, lambda path: True),
        credits=read(dataset, lambda path: not path.startswith("data/")),
        grid=read(shown, lambda path: True) if shown else {},
        hub_id=row.hub_id if row else None,
    )
    return release, Publication(ref.version_id, stored_as, dataset, shown)
