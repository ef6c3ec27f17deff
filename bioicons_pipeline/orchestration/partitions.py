"""The one partitions definition: a partition is a scientific category of the upstream library.

Dynamic, since upstream adds categories: `svg_snapshot` registers those it finds. One that disappears
upstream stays registered, so that what was built from it stays readable.
"""

import dagster as dg

CATEGORIES = dg.DynamicPartitionsDefinition(name="category")


def register(instance: dg.DagsterInstance, categories: list[str]) -> list[str]:
    """Add the categories that are new to `instance`; returns those."""
    known = set(instance.get_dynamic_partitions(str(CATEGORIES.name)))
    new = sorted(set(categories) - known)
    if new:
        instance.add_dynamic_partitions(str(CATEGORIES.name), new)
    return new
