"""How long things took on this machine, from Dagster's own records of earlier runs.

Belongs here: reading durations off the event log, and what they say of work to come. Does not belong here:
which work that is (`stages/outlook`). What was never run here has no figure, and none is invented.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import dagster as dg

RECORDS = 60
"""Newest materializations that are looked at, of each asset."""
CHEAP = {
    "icon_manifest": "icons",
    "rasterized_icons": "rendered",
    "icon_captions": "captioned",
    "icon_dataset": "icons",
}
"""Cheap stages, and the metadata that counts the icons they handled."""


@dataclass(frozen=True)
class Measured:
    """Seconds on this machine: `manifest`, of the whole library; `per_icon`, of the other cheap stages by
    name; `training`, by category, `""` for the median of all. Empty, or None, where nothing was measured."""

    manifest: float | None
    per_icon: Mapping[str, float]
    training: Mapping[str, float]

    def rebuild(self, icons: int) -> float | None:
        """Seconds to rebuild a category of `icons`, without the manifest; None if not measured."""
        rates = [self.per_icon.get(name) for name in CHEAP if name != "icon_manifest"]
        return None if None in rates else icons * sum(rate for rate in rates if rate is not None)

    def train(self, category: str) -> float | None:
        """Seconds to train a LoRA of `category`: as it took, else as others did, else None. The library's is
        its own figure or none: it is no category."""
        if category == "library":
            return self.training.get("library")
        return self.training.get(category, self.training.get(""))


def measured(instance: dg.DagsterInstance, base: str) -> Measured:
    """What the event log knows; `base`: trainings on this one count."""
    rates: dict[str, float] = {}
    manifest = None
    for asset, counted in CHEAP.items():
        steps = _steps(instance, asset, counted)
        if asset == "icon_manifest":
            manifest = median(seconds for seconds, _ in steps) if steps else None
        elif sum(icons for _, icons in steps):
            rates[asset] = sum(seconds for seconds, _ in steps) / sum(icons for _, icons in steps)
    training: dict[str, float] = {}
    for key, name in (
        (dg.AssetKey("lora_weights"), None),
        (dg.AssetKey(["library", "lora_weights"]), "library"),
    ):
        records = instance.fetch_materializations(key, limit=RECORDS).records
        for record in reversed(records):  # the newest of each category stays
            metadata = record.asset_materialization.metadata if record.asset_materialization else {}
            seconds, of = metadata.get("seconds"), metadata.get("base")
            if seconds is not None and of is not None and of.value == base:
                training[name or str(record.partition_key)] = float(seconds.value)  # type: ignore[arg-type]
    categories = [seconds for name, seconds in training.items() if name != "library"]
    return Measured(manifest, rates, training | ({"": median(categories)} if categories else {}))


def _steps(instance: dg.DagsterInstance, asset: str, counted: str) -> list[tuple[float, int]]:
    """(seconds, icons) of the latest steps that made something new of `asset`."""
    icons: dict[str, int] = {}
    for record in instance.fetch_materializations(dg.AssetKey(asset), limit=RECORDS).records:
        metadata = record.asset_materialization.metadata if record.asset_materialization else {}
        changed, count = metadata.get("changed"), metadata.get(counted)
        if changed is not None and changed.value and count is not None:
            icons[record.run_id] = icons.get(record.run_id, 0) + int(count.value)  # type: ignore[arg-type]
    found = []
    for run_id, count in icons.items():
        for step in instance.get_run_step_stats(run_id, [asset]):
            if step.start_time and step.end_time:
                found.append((step.end_time - step.start_time, count))
    return found
