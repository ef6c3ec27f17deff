"""A pipeline that lives with a moving upstream, in one process: what the daemon does, step by step.

Real: the definitions, their automation conditions as Dagster evaluates them, every cheap stage, the decision
to train and what `lora_weights` does around a training. Not real: the training itself, which commits a
planted adapter at once; grids and evaluations, asked for and not drawn; the clock, which moves by weeks.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import torch

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.drift import Thresholds
from bioicons_pipeline.orchestration.assets import ALL_ASSETS
from bioicons_pipeline.orchestration.automation import watch_edited_inputs
from bioicons_pipeline.orchestration.conditions import AUTOMATION_TAG
from bioicons_pipeline.orchestration.jobs import ALL_JOBS
from bioicons_pipeline.orchestration.resources import (
    ArtifactStore,
    Base,
    RetrainingPolicy,
    TrainingBackend,
    UpstreamLibrary,
)
from bioicons_pipeline.orchestration.stages.made_from import Inputs
from bioicons_pipeline.orchestration.stages.outlook import prospects
from bioicons_pipeline.orchestration.stages.training_plan import planned_base
from bioicons_pipeline.store import Store
from bioicons_pipeline.training.base_models import resolve_base
from bioicons_pipeline.training.export import diffusers_file
from bioicons_pipeline.training.files import CURVE_NAME, REPORT_NAME, WEIGHTS_NAME

MONDAY = datetime(2027, 1, 4, 4, 0, 5, tzinfo=UTC)
DRAWN_ELSEWHERE = {"sample_grid", "evaluation_report", "library/sample_grid", "library/evaluation_report"}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
_MODULES = [f"transformer_blocks.0.attn.{part}" for part in ("to_q", "to_k")]

trainings: list[tuple[str, str]] = []
"""(partition, dataset version) of every training since the list was last cleared."""
broken: set[str] = set()
"""Partitions whose training fails."""


class PlantedBackend(TrainingBackend):
    """Trains nothing: commits an adapter that says which dataset it is of."""

    def train(self, context, request, lease) -> tuple[str, dict]:
        trainings.append((request.partition, request.dataset_version))
        if request.partition in broken:
            raise BioiconsError("The loss is not finite at step 3.")
        fingerprint = resolve_base(request.base, Path(request.cache_dir)).fingerprint
        header = {"base": "b", "base_fingerprint": fingerprint, "dataset_version": request.dataset_version}
        header |= {"upstream_commit": "c", "config": "{}", "provenance": "{}"}
        tensors = {f"{name}.lora_{side}.weight": torch.ones(2, 2) for name in _MODULES for side in "AB"}
        losses = {f"{kind}_loss_{when}": 1.0 for kind in ("train", "heldout") for when in ("before", "after")}
        files = {
            WEIGHTS_NAME: diffusers_file(tensors, {"r": 2}, header),
            REPORT_NAME: json.dumps(losses).encode(),
            CURVE_NAME: PIXEL,
        }
        return Store(request.store_root).commit(files).id, {"seconds": 0.0}


class Living:
    """Data folder, history and clock. `source` is what upstream is, a git repository mostly."""

    def __init__(self, root: Path, source: Path, *, render_size: int = 64, **policy) -> None:
        trainings.clear()
        broken.clear()
        self.store = Store(root / "store")
        self.instance = dg.DagsterInstance.ephemeral()
        self.now, self.cursor = MONDAY, None
        self.policy, self.cache = policy, root / "cache"
        self.upstream = UpstreamLibrary(
            source=str(source),
            licence_preset="attribution",
            curation=str(root / "curation.yaml"),
            render_size=render_size,
            workers=1,
        )
        root.mkdir(parents=True, exist_ok=True)
        self.curation = root / "curation.yaml"
        self.curation.write_text("version: 1\n")
        self.watched: str | None = None
        self.told: dict[str, str] = {}
        self.work = root / "work"
        self.defs = self._definitions()
        self.tick()

    def _definitions(self) -> dg.Definitions:
        return dg.Definitions(
            assets=ALL_ASSETS,
            jobs=ALL_JOBS,
            resources={
                "artifacts": ArtifactStore(
                    root=str(self.store.root), cache_dir=str(self.cache), work_dir=str(self.work)
                ),
                "upstream": self.upstream,
                "base": Base(name="flux-nano"),
                "retraining": RetrainingPolicy(**self.policy),
                "training_backend": PlantedBackend(),
            },
        )

    def configure(self, **upstream) -> None:
        """What a person does who starts it again with other settings of the upstream library."""
        self.upstream = UpstreamLibrary(**{**self.upstream.model_dump(), **upstream})
        self.defs = self._definitions()

    def observe(self) -> bool:
        """What the schedule does; whether it succeeded."""
        job = self.defs.resolve_job_def("observe_upstream")
        return job.execute_in_process(instance=self.instance, raise_on_error=False).success

    def tick(self) -> list[tuple[str, str | None]]:
        """One evaluation of all conditions, and the runs it asks for; returns what was asked for."""
        self.now += timedelta(seconds=30)
        known = self.instance.get_dynamic_partitions("category")
        self.instance.get_dynamic_partitions = lambda partitions_def_name: (
            known
        )  # the daemon too asks once a tick
        found = dg.evaluate_automation_conditions(
            self.defs, self.instance, evaluation_time=self.now, cursor=self.cursor
        )
        del self.instance.get_dynamic_partitions
        self.cursor = found.cursor
        graph = self.defs.resolve_asset_graph()
        asked = []
        for key in graph.toposorted_asset_keys:
            partitions = found.get_requested_partitions(key)
            if not partitions:
                continue
            name = key.to_user_string()
            asked += [(name, partition) for partition in sorted(partitions, key=str)]
            if name in DRAWN_ELSEWHERE:
                self._draw(key, partitions)
            else:
                self._run(key, partitions, single=graph.get(key).backfill_policy)
        return asked

    def _draw(self, key: dg.AssetKey, partitions: Iterable[str | None]) -> None:
        """What grids and evaluations leave behind in the history: a version for each LoRA."""
        for partition in partitions:
            lora = self.store.get_ref("lora_weights", partition=partition, base="flux-nano")
            event = dg.AssetMaterialization(
                asset_key=key, partition=partition, tags={"dagster/data_version": lora.version_id}
            )
            self.instance.report_runless_asset_event(event)

    def _run(self, key: dg.AssetKey, partitions: Iterable[str | None], single) -> None:
        """As the daemon does: a run for a range of partitions where the policy says so, else one each."""
        known = self.instance.get_dynamic_partitions("category")
        ordered = [one for one in known if one in set(partitions)]
        if single is None or single.max_partitions_per_run is not None or len(ordered) < 2:
            tags = [{"dagster/partition": one} for one in ordered] or [{}]
        else:
            tags = [
                {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end}
                if start != end
                else {"dagster/partition": start}
                for start, end in self._ranges(ordered)
            ]
        for one in tags:
            self.materialize(key.to_user_string(), one | {AUTOMATION_TAG: "automation"})

    def _ranges(self, ordered: list[str]) -> list[tuple[str, str]]:
        known = self.instance.get_dynamic_partitions("category")
        ranges: list[tuple[str, str]] = []
        for one in ordered:
            if ranges and known.index(one) == known.index(ranges[-1][1]) + 1:
                ranges[-1] = (ranges[-1][0], one)
            else:
                ranges.append((one, one))
        return ranges

    def materialize(self, name: str, tags: dict[str, str]) -> bool:
        """One run of one asset, as a person, or the daemon by its tag, starts it; whether it succeeded."""
        key = dg.AssetKey(name.split("/"))
        job = self.defs.get_repository_def().get_implicit_job_def_for_assets([key])
        return job.execute_in_process(
            instance=self.instance, asset_selection=[key], tags=tags, raise_on_error=False
        ).success

    def settle(self) -> dict[str, set[str | None]]:
        """Ticks until nothing is asked for any more; asset → partitions, of all that ran."""
        ran: dict[str, set[str | None]] = {}
        for _ in range(20):
            asked = self.tick()
            if not asked:
                return ran
            for name, partition in asked:
                ran.setdefault(name, set()).add(partition)
        raise AssertionError(f"it never comes to rest: {ran}")

    def foretold(self) -> tuple[set[str], list[str]]:
        """What `bioicons plan` says now: categories that would be rebuilt, and LoRAs trained; `told`: why."""
        inputs = Inputs(
            source=self.upstream.source,
            ref=None,
            preset=self.upstream.licence_preset,
            curation=self.upstream.curation,
            render_size=self.upstream.render_size,
        )
        found = prospects(
            self.store,
            inputs,
            self.cache,
            planned_base("flux-nano", self.cache / "bases"),
            Thresholds(**self.policy),
        )
        self.told = {one.category or "library": one.reason for one in found}
        rebuilt = {one.category for one in found if one.rebuild and one.category}
        return rebuilt, sorted(one.category or "library" for one in found if one.train)

    def watch(self) -> list[str]:
        """What the sensor does: names of the inputs whose edit it noticed."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.watched)
        seen = watch_edited_inputs(context, upstream=self.upstream, base=Base(name="flux-nano"))
        if isinstance(seen, dg.SkipReason):
            return []
        self.watched = seen.cursor
        for event in seen.asset_events:
            self.instance.report_runless_asset_event(event)
        return [event.asset_key.to_user_string() for event in seen.asset_events]

    def week(self, days: int = 7) -> dict[str, set[str | None]]:
        """So many days later, on Mondays at first, upstream is observed; what follows goes on to its end."""
        self.now = self.now + timedelta(days=days) - timedelta(seconds=self.now.timestamp() % 30)
        trainings.clear()
        assert self.observe()
        return self.settle()
