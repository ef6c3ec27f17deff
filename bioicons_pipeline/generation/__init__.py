"""generation: prompts become pictures, with a base model and, where asked, a LoRA.

Belongs here: loading a pipeline, sampling with fixed seeds, the comparison grid. Does not belong here:
how a LoRA is trained (training/), what the prompts were trained as (captioning/). The modules import
torch inside functions.
"""
