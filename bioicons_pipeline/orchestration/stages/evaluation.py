"""evaluation_report: is the LoRA better than its base; as a page, as JSON, and as verdicts that gates read.

Version tree: `report.html`, `report.json`, `plots/<figure>.png`. A category that was not trained, or of which
no icon is held out, has `not_evaluated.json` instead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioicons_pipeline.evaluation.evaluate import EvaluationError, NothingHeldOutError, evaluate, labels
from bioicons_pipeline.evaluation.icons import RealIcon, read_split
from bioicons_pipeline.evaluation.records import Evaluation, Task
from bioicons_pipeline.evaluation.report import Report, make_report, markdown_table, summary
from bioicons_pipeline.generation.adapters import Adapter
from bioicons_pipeline.generation.training_icons import read_training_icons
from bioicons_pipeline.orchestration.stages.base import (
    EVALUATION,
    GRID,
    WEIGHTS,
    Outcome,
    input_key,
    publish,
    read_json,
    require_ref,
    to_json,
    unchanged,
)
from bioicons_pipeline.orchestration.stages.codes import CODE_VERSIONS
from bioicons_pipeline.orchestration.stages.grid import sampling_settings
from bioicons_pipeline.orchestration.stages.weights import ref_name
from bioicons_pipeline.orchestration.workshop import LIBRARY, Stock, named_adapter
from bioicons_pipeline.store import Store
from bioicons_pipeline.training.base_models import BaseModel

CODE_VERSION = CODE_VERSIONS[EVALUATION]
NOT_EVALUATED = "not_evaluated.json"
PAGE, DATA = "report.html", "report.json"
SEVERE = ("heldout_loss", "copies")
"""Figures that a LoRA must not fail."""
DEFAULT_COUNT = 32
"""Pictures that each model draws."""
Phase = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """How to evaluate. category: only its held-out icons, None for all that the dataset has; count: pictures
    of each model; sampling: fields of SamplingSettings that differ from the adapter's own; embeddings: folder
    or hub id of a CLIP or DINO model, "" for none."""

    category: str | None
    count: int = DEFAULT_COUNT
    seed: int = 0
    sampling: dict[str, Any] | None = None
    embeddings: str = ""


def compare(
    stock: Stock, work: Path, base: BaseModel, adapters: Sequence[Adapter], plan: Plan, progress: Phase
) -> Evaluation:
    """Evaluate adapters side by side on the held-out icons of the first one's dataset; icons whose family any
    of them was trained on do not count as held out.

    Raises:
        EvaluationError: nothing is held out, or an adapter does not say what it was trained on.
        BioiconsError: see `evaluate`.
    """
    # torch comes with the trainer's reader: not before it is needed
    from bioicons_pipeline.evaluation.embedding import Embedder
    from bioicons_pipeline.training.data import open_dataset
    from bioicons_pipeline.training.prepare import checkout_dataset

    _comparable(adapters)
    embedder = Embedder.load(plan.embeddings) if plan.embeddings else None
    datasets = list(dict.fromkeys(adapter.dataset_version for adapter in adapters))
    folders = [checkout_dataset(str(stock.store.root), dataset, work) for dataset in datasets]
    seen = [icon for folder in folders for icon in read_split(folder, "train")]
    heldout = unseen(read_split(folders[0], "heldout"), seen, plan.category)
    progress("reading training icons", 0, 1)
    copies = read_training_icons(
        stock.store,
        datasets,
        stock.cache / "copies",
        progress=lambda done, total: progress("reading training icons", done, total),
    )
    first = adapters[0]
    trained = {"resolution": first.resolution, "t5_length": first.t5_length}
    task = Task(
        base=base,
        adapters=adapters,
        heldout=heldout,
        heldout_set=open_dataset(folders[0])[1],
        train=list({icon.icon_id: icon for icon in seen}.values()),
        settings=sampling_settings(base, trained, plan.sampling or {}),
        count=plan.count,
        seed=plan.seed,
        encodings=work / "encodings",
        copies=copies.index,
        embedder=embedder,
    )
    return evaluate(task, progress)


def _comparable(adapters: Sequence[Adapter]) -> None:
    """Raise unless all adapters say what they were trained on, and were trained at one size."""
    for adapter in adapters:
        if not adapter.dataset_version:
            raise EvaluationError(
                f"The LoRA {adapter.name} does not say which icons it was trained on, so none counts as "
                "unseen: evaluate one that this project trained."
            )
    if len({adapter.resolution for adapter in adapters}) > 1:
        said = ", ".join(f"{adapter.name} {adapter.resolution} px" for adapter in adapters)
        raise EvaluationError(
            f"The LoRAs were trained at different sizes ({said}): compare those of one size."
        )


def unseen(heldout: list[RealIcon], seen: list[RealIcon], category: str | None) -> list[RealIcon]:
    """Held-out icons of a category (None: all) of which neither they nor their family were trained on."""
    icons, families = {icon.icon_id for icon in seen}, {icon.family_id for icon in seen}
    return [
        icon
        for icon in heldout
        if icon.icon_id not in icons and icon.family_id not in families and category in (None, icon.category)
    ]


def report_files(report: Report) -> dict[str, bytes]:
    """The files of a report by path."""
    plots = {f"plots/{name}.png": png for name, png in report.plots.items()}
    return {PAGE: report.page, DATA: report.data, **plots}


def report(
    stock: Stock,
    work: Path,
    base: BaseModel,
    plan: Plan,
    progress: Phase,
) -> Outcome:
    """Evaluate the current LoRA of `plan.category` (None: the library) and keep the report in the store."""
    store = stock.store
    weights = require_ref(store, WEIGHTS, plan.category, ref_name(base))
    grid = store.get_ref(GRID, partition=plan.category, base=ref_name(base))
    current = grid is not None and (grid.info or {}).get("adapter") == weights.version_id
    key = input_key(
        code=CODE_VERSION,
        weights=weights.version_id,
        grid=grid.version_id if grid and current else None,
        plan=vars(plan),
    )
    place = {"partition": plan.category, "base": ref_name(base)}
    if done := unchanged(store, EVALUATION, key, **place):
        return Outcome(done.version_id, False, done.info or {})
    trained = weights.info or {}
    if trained.get("status") != "trained":
        return _not_evaluated(store, str(trained.get("reason", "not trained")), key, place)
    adapter = named_adapter(stock, base, plan.category or LIBRARY)
    try:
        found = compare(stock, work, base, [adapter], plan, progress)
    except NothingHeldOutError as error:
        return _not_evaluated(store, str(error), key, place)
    more = []
    if grid and current:
        more = [("The same subjects in every report", store.read(grid.version_id, "grid.png"))]
    title = f"Is the LoRA of {(plan.category or 'the library').replace('_', ' ')} better than {base.name}?"
    facts = {
        "status": "evaluated",
        "adapter": weights.version_id,
        "verdicts": verdicts(found, labels([adapter])[0]),
        "input_key": key,
    }
    return publish(store, EVALUATION, report_files(make_report(found, title, more)), facts, **place)


@dataclass(frozen=True)
class Quality:
    """What a report says of one figure, as a check shows it: `severe` where it is proof, not doubt."""

    passed: bool
    severe: bool
    sentence: str
    numbers: dict[str, float]


def quality(store: Store, category: str | None, base_name: str, figure: str) -> Quality:
    """The verdict on the current LoRA. A held-out loss that is not lower and copies in excess are severe; a
    style that is not closer, anything that is not sure, and a figure that could not be reported, are doubts.

    Raises:
        MissingInputError: nothing was evaluated yet.
    """
    info = require_ref(store, EVALUATION, category, base_name).info or {}
    if info.get("status") != "evaluated":
        return Quality(True, False, f"Not evaluated: {info.get('reason', '')}", {})
    said = info["verdicts"].get(figure)
    if said is None:
        return Quality(False, False, "It could not be told on these icons: the report says why.", {})
    numbers = {name: value for name, value in said["change"].items() if value is not None}
    severe = said["state"] == "bad" and figure in SEVERE
    return Quality(said["state"] == "good", severe, said["sentence"], numbers)


def refusals(store: Store, category: str | None, base_name: str, adapter_version: str) -> list[str]:
    """Sentences why a LoRA must not be given away: what the report of exactly this one says that is severe.
    [] where it was not evaluated."""
    ref = store.get_ref(EVALUATION, partition=category, base=base_name)
    info = (ref.info or {}) if ref else {}
    if info.get("status") != "evaluated" or info.get("adapter") != adapter_version:
        return []
    found = [quality(store, category, base_name, figure) for figure in SEVERE]
    return [one.sentence for one in found if one.severe]


def verdicts(found: Evaluation, name: str) -> dict[str, dict[str, Any]]:
    """What gates and checks read of one LoRA: by figure its state, sentence and change; figures that did not
    prove themselves are left out."""
    return {
        key: {**one["verdicts"][name], "change": one["changes"][name]}
        for key, one in summary(found)["measures"].items()
        if name in one["verdicts"]
    }


def shown(store: Store, outcome: Outcome) -> dict[str, str | bytes]:
    """What the UI shows of a report: Markdown, and PNG bytes of its plots."""
    if outcome.facts["status"] != "evaluated":
        return {"reason": str(outcome.facts["reason"])}
    version = store.version(outcome.version_id)
    said = outcome.facts["verdicts"].values()
    found: dict[str, str | bytes] = {
        "verdicts": "\n".join(f"- **{one['state']}**: {one['sentence']}" for one in said),
        "figures": markdown_table(read_json(store, version.id, DATA)),
    }
    plots = [entry.path for entry in version.files if entry.path.startswith("plots/")]
    return found | {Path(path).stem: store.read(version, path) for path in plots}


def _not_evaluated(store: Store, reason: str, key: str, place: dict[str, Any]) -> Outcome:
    record = {"status": "not evaluated", "reason": reason}
    return publish(store, EVALUATION, {NOT_EVALUATED: to_json(record)}, {**record, "input_key": key}, **place)
