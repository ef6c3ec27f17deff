"""captioning: a record becomes the text that the model learns to draw from.

Belongs here: what is known of an icon (its name, category, author, and a measured picture) turned into
caption variants; the optional vision-language captioner; checks of captions. Does not belong here: the
dataset's layout, a curator's overrides (they are in the manifest, and win over both captioners).
"""

from bioicons_pipeline.captioning.distinct import distinguish
from bioicons_pipeline.captioning.grammar import (
    GRAMMAR_VERSION,
    TRIGGER,
    Captions,
    caption_icon,
    caption_prompt,
    subject_of,
)
from bioicons_pipeline.captioning.picture import StyleFacts, measure_picture

__all__ = [
    "GRAMMAR_VERSION",
    "TRIGGER",
    "Captions",
    "StyleFacts",
    "caption_icon",
    "caption_prompt",
    "distinguish",
    "measure_picture",
    "subject_of",
]
