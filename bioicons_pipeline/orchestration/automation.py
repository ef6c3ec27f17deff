"""Schedules. What is rebuilt when something changed follows from data versions, see the assets."""

import dagster as dg

from bioicons_pipeline.orchestration.jobs import refresh_library

weekly_refresh = dg.ScheduleDefinition(
    name="weekly_refresh",
    job=refresh_library,
    cron_schedule="0 4 * * 1",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Look for new icons upstream, Mondays at 04:00 UTC. Off until switched on in the UI.",
)

ALL_SCHEDULES = [weekly_refresh]
