"""stages: the flow from snapshot to grid over the artifact store, without dagster.

A stage reads the versions of its inputs, calls one room, commits what came out and moves its ref. What
each version's tree contains is said in the module of the stage that writes it.
"""
