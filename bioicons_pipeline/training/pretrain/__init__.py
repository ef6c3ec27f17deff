"""flux-nano: a small base of FLUX.1's own classes, trained from scratch on openly licensed icon sets.

Belongs here: the recipe, from npm packages to a folder in diffusers layout. Does not belong here: the
optimizer steps, the objective and the checkpoints, which are those of LoRA training (loop, objective,
checkpoint). `python -m bioicons_pipeline.training.pretrain` runs all of it and goes on where it stopped.
"""
