"""Code versions of the stages: raised when the same inputs would give other content.

One table for two readers: a stage's input key, which decides whether work can be left out, and the asset's
code version, which the UI compares. Imports nothing, since the code location is loaded with it.
"""

CODE_VERSIONS = {
    "svg_snapshot": "1",
    "icon_manifest": "4",
    "rasterized_icons": "2",
    "icon_captions": "5",
    "icon_dataset": "4",
    "training_plan": "1",
    "lora_weights": "1",
    "sample_grid": "2",
    "evaluation_report": "2",
    "lora_sweep": "1",
}
