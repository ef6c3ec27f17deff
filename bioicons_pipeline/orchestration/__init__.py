"""orchestration: everything that imports dagster, and nothing else does.

`stages/` reads a stage's inputs from the store, makes one call into a room and commits the result; it
imports no dagster itself. `assets/` binds each stage to its asset, one file a stage in the order of the
flow.
"""
