"""From a dataset version to a LoRA: config, base models, cache, objective, loop, checkpoints, export.

Belongs here: everything that happens between reading a dataset version from the store and committing an
adapter version to it. Does not belong here: which dataset to train on, when, and what the result is
called (orchestration), sampling (generation), judging (evaluation). `config` and `base_models` import
without torch; `python -m bioicons_pipeline.training` is the one entry that trains.
"""
