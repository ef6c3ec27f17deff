"""Is what was generated any good: measures that compare generated icons, and losses, with real icons.

Belongs here: figures, each with its bounds (chance, the base, real icons), and the page that shows them. Does
not belong here: sampling and the copy score (generation), the loss (training), where datasets, adapters and
reports lie, and what a verdict stops (orchestration).
"""
