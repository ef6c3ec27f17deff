"""How long things took on this machine, from Dagster's own records of earlier runs.

Belongs here: reading durations off the event log, and what they say of work to come. Does not belong here:
which work that is (`stages/outlook`). What was never run here has no figure, and none is invented.

What made nothing new says nothing of how long the work takes, and a backfill of a library that is up to date
leaves many such records. So records are read until those that say something are found, in pages: they hold
pictures.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

import dagster as dg

from bioicons_pipeline.orchestration.partitions import CATEGORIES

PAGE = 20
"""Records that are read at once."""
RUNS = 10
"""Newest runs that made something new, of each cheap stage."""
LOOKED_AT = 2000
"""Newest records of a cheap stage that are looked at for them."""
CHEAP = {
    "icon_manifest": "icons",
    "rasterized_icons": "rendered",
    "icon_captions": "captioned",
    "icon_dataset": "icons",
}
"""Cheap stages, and the metadata that counts the icons they handled."""
LIBRARY = "library"
STORED_AS = "base stored as"
"""Metadata of what is made on a base: how refs name the base, which is more than its name for a folder."""


@dataclass(frozen=True)
class Measured:
    """Seconds on this machine: `manifest`, of the whole library; `per_icon`, of the other cheap stages by
    name; `library_dataset`; `training`, `grid` and `evaluation`, by category, `""` for the median of all.
    Empty, or None, where nothing was measured."""

    manifest: float | None
    per_icon: Mapping[str, float]
    training: Mapping[str, float]
    library_dataset: float | None = None
    grid: Mapping[str, float] = field(default_factory=dict)
    evaluation: Mapping[str, float] = field(default_factory=dict)

    def rebuild(self, icons: int) -> float | None:
        """Seconds to rebuild a category of `icons`, without the manifest; None if not measured."""
        rates = [self.per_icon.get(name) for name in CHEAP if name != "icon_manifest"]
        return None if None in rates else icons * sum(rate for rate in rates if rate is not None)

    def train(self, category: str) -> float | None:
        """Seconds to train a LoRA of `category`: as it took, else as others did, else None. The library's is
        its own figure or none: it is no category."""
        return _figure(self.training, category)

    def grid_and_report(self, category: str, evaluated: bool) -> float | None:
        """Seconds for what follows a new LoRA: its sample grid and, where it is `evaluated`, its report."""
        parts = [_figure(self.grid, category), *([_figure(self.evaluation, category)] if evaluated else [])]
        return None if None in parts else sum(part for part in parts if part is not None)


def _figure(figures: Mapping[str, float], category: str) -> float | None:
    return figures.get(category, None if category == LIBRARY else figures.get(""))


def measured(instance: dg.DagsterInstance, stored_as: str) -> Measured:
    """What the event log knows; `stored_as`: what was made on this base counts, as refs name it."""
    rates: dict[str, float] = {}
    manifest = None
    for asset, counted in CHEAP.items():
        steps = _steps(instance, dg.AssetKey(asset), counted)
        if asset == "icon_manifest":
            manifest = median(seconds for seconds, _ in steps) if steps else None
        elif sum(icons for _, icons in steps):
            rates[asset] = sum(seconds for seconds, _ in steps) / sum(icons for _, icons in steps)
    whole = _steps(instance, dg.AssetKey([LIBRARY, "icon_dataset"]), "icons")
    return Measured(
        manifest,
        rates,
        _by_category(instance, "lora_weights", stored_as),
        whole[0][0] if whole else None,
        _by_category(instance, "sample_grid", stored_as),
        _by_category(instance, "evaluation_report", stored_as),
    )


def _by_category(instance: dg.DagsterInstance, asset: str, stored_as: str) -> dict[str, float]:
    """Seconds of the newest of `asset` on a base for each category and the library, and the median (`""`)."""
    found: dict[str, float] = {}
    for category in instance.get_dynamic_partitions(str(CATEGORIES.name)):
        if (seconds := _newest(instance, dg.AssetKey(asset), category, stored_as)) is not None:
            found[category] = seconds
    if found:
        found[""] = median(found.values())
    if (seconds := _newest(instance, dg.AssetKey([LIBRARY, asset]), None, stored_as)) is not None:
        found[LIBRARY] = seconds
    return found


def _newest(
    instance: dg.DagsterInstance, key: dg.AssetKey, category: str | None, stored_as: str
) -> float | None:
    """Seconds that it took when it last was made anew on that base. A training says them itself; of one that
    went on from a checkpoint in another step, the step would know only the rest."""
    for run_id, metadata in _records(instance, key, category):
        named, changed = metadata.get(STORED_AS, metadata.get("base")), metadata.get("changed")
        if named is None or named.value != stored_as:
            continue
        if "seconds" in metadata:
            return float(metadata["seconds"].value)  # type: ignore[arg-type]
        made = metadata.get("status")
        if made is None or made.value not in ("sampled", "evaluated") or changed is None or not changed.value:
            continue
        if steps := _durations(instance, run_id, key):
            return steps[0]
    return None


def _steps(instance: dg.DagsterInstance, key: dg.AssetKey, counted: str) -> list[tuple[float, int]]:
    """(seconds, icons) of the newest steps that made something new of an asset, the newest first."""
    found: list[tuple[float, int]] = []
    seen: set[str] = set()
    for number, (run_id, metadata) in enumerate(_records(instance, key, None)):
        if len(found) >= RUNS or number >= LOOKED_AT:
            break
        changed = metadata.get("changed")
        if run_id not in seen and changed is not None and changed.value:
            seen.add(run_id)
            icons = _icons_of_run(instance, run_id, key, counted)
            found += [(seconds, icons) for seconds in _durations(instance, run_id, key)]
    return found


def _icons_of_run(instance: dg.DagsterInstance, run_id: str, key: dg.AssetKey, counted: str) -> int:
    """Icons that a run handled anew, over all its partitions, however many it has."""
    total = 0
    of_type = dg.DagsterEventType.ASSET_MATERIALIZATION
    for record in instance.get_records_for_run(run_id, of_type=of_type).records:
        event = record.event_log_entry.get_dagster_event()
        if event.asset_key != key:
            continue
        metadata = event.step_materialization_data.materialization.metadata
        if "changed" in metadata and metadata["changed"].value and counted in metadata:
            total += int(metadata[counted].value)  # type: ignore[arg-type]
    return total


def _durations(instance: dg.DagsterInstance, run_id: str, key: dg.AssetKey) -> list[float]:
    """Seconds of the step of an asset in a run; none where it was not a step that made it."""
    steps = instance.get_run_step_stats(run_id, [key.to_python_identifier()])
    return [step.end_time - step.start_time for step in steps if step.start_time and step.end_time]


def _records(
    instance: dg.DagsterInstance, key: dg.AssetKey, category: str | None
) -> Iterator[tuple[str, Mapping[str, dg.MetadataValue]]]:
    """Run and metadata of materializations, the newest first: of one category, or of all."""
    wanted = dg.AssetRecordsFilter(key, asset_partitions=[category] if category else None)
    cursor = None
    while True:
        page = instance.fetch_materializations(wanted, limit=PAGE, cursor=cursor)
        for record in page.records:
            if record.asset_materialization is not None:
                yield record.run_id, record.asset_materialization.metadata
        if not page.has_more:
            return
        cursor = page.cursor
