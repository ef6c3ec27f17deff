"""captioning: a record becomes the text that the model learns to draw from.

Belongs here: what is known of an icon (its name, its category) turned into caption variants. Does not
belong here: pixels of training images, the dataset's layout, overrides (they are in the manifest).
"""

from bioicons_pipeline.captioning.grammar import (
    GRAMMAR_VERSION,
    TRIGGER,
    Captions,
    caption_icon,
    caption_prompt,
    subject_of,
)

__all__ = ["GRAMMAR_VERSION", "TRIGGER", "Captions", "caption_icon", "caption_prompt", "subject_of"]
