"""Is what was generated any good: measures that compare generated icons with real ones. Pure functions.

Belongs here: figures, each with its bounds (chance, the base, real icons). Does not belong here: sampling
(generation), training losses (training), and where figures are shown (orchestration).
"""
