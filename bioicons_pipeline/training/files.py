"""Names of the files that a training leaves, for whoever reads them. No torch here.

Belongs here: the names. Does not belong here: their formats (export, report).
"""

WEIGHTS_NAME = "pytorch_lora_weights.safetensors"
COMFYUI_NAME = "comfyui_lora.safetensors"
REPORT_NAME = "training_report.json"
CURVE_NAME = "loss_curve.png"
VALIDATION_NAME = "validation.png"
VALIDATION_FOLDER = "validation"
VALIDATION_PROMPTS = f"{VALIDATION_FOLDER}/prompts.json"
CHECKPOINTS_ASSET = "checkpoints"
"""The store's refs `checkpoints/<name>`: what a training on rented hosts goes on from, then what it gave."""
