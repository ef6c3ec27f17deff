"""What goes on by itself: upstream is looked at by the clock, edits are noticed, conditions are evaluated.

Belongs here: the schedule and the sensors. What is made again after a change is said by each asset's
condition (`conditions`). All of them run from the start where the settings say so (`aws`, or
BIOICONS_AUTOMATION=true), and can be switched on and off in the UI.
"""

import json

import dagster as dg

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.assets.inputs import edited_versions
from bioicons_pipeline.orchestration.conditions import AUTOMATION_TAG
from bioicons_pipeline.orchestration.jobs import observe_upstream
from bioicons_pipeline.orchestration.resources import Base, UpstreamLibrary
from bioicons_pipeline.settings import get_settings

_settings = get_settings()

observation_schedule = dg.ScheduleDefinition(
    name="observe_upstream_schedule",
    job=observe_upstream,
    cron_schedule=_settings.observe_cron,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING
    if _settings.automated
    else dg.DefaultScheduleStatus.STOPPED,
    description="Look at upstream, without taking it; BIOICONS_OBSERVE_CRON says when.",
)

_SENSOR_STATUS = dg.DefaultSensorStatus.RUNNING if _settings.automated else dg.DefaultSensorStatus.STOPPED


@dg.sensor(
    name="watch_edited_inputs",
    minimum_interval_seconds=60,
    default_status=_SENSOR_STATUS,
    description="Notices edits of curation file, licence preset, render size, caption tables and base model.",
)
def watch_edited_inputs(
    context: dg.SensorEvaluationContext, upstream: UpstreamLibrary, base: Base
) -> dg.SensorResult | dg.SkipReason:
    """Reports the version of each input that moved since the last look; starts no run."""
    seen: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    try:
        now = edited_versions(upstream, base)
    except BioiconsError as error:  # half a YAML file, while somebody writes it: the last version stays
        return dg.SkipReason(str(error))
    moved = [name for name, version in now.items() if seen.get(name) != version]
    if not moved:
        return dg.SkipReason("No edit.")
    events = [dg.AssetObservation(asset_key=name, tags={"dagster/data_version": now[name]}) for name in moved]
    return dg.SensorResult(asset_events=events, cursor=json.dumps(now))


automation_sensor = dg.AutomationConditionSensorDefinition(
    name="rebuild_and_retrain",
    target=dg.AssetSelection.all(),
    run_tags={AUTOMATION_TAG: "automation"},
    default_status=_SENSOR_STATUS,
    description="Makes again what follows from a change: cheap stages at once, a LoRA when its plan moved.",
)

ALL_SCHEDULES = [observation_schedule]
ALL_SENSORS = [watch_edited_inputs, automation_sensor]
