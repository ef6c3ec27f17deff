"""A vision-language captioner through transformers: Florence-2, BLIP, Qwen-VL and their kin.

Belongs here: loading a model by hub id or local folder, and one picture in, one text out. Does not belong
here: what becomes of the text (`captioner`). torch and transformers are imported inside functions: the
code location reads captions and must not load them. Weights are read as safetensors, never as pickles,
and no code from the hub is run unless `trust_remote_code` is asked for by name.

Follows https://huggingface.co/docs/transformers/main/en/tasks/image_text_to_text.
"""

import io
from dataclasses import dataclass, field
from typing import Any

from bioicons_pipeline.captioning.captioner import Hint, with_attributes
from bioicons_pipeline.captioning.grammar import caption_icon
from bioicons_pipeline.captioning.picture import measure_picture
from bioicons_pipeline.errors import BioiconsError

QUESTION = "Describe the visible shapes and colors of this scientific icon of {subject} in one short phrase."
"""Asked of models with a chat template."""

FLORENCE_TASK = "<CAPTION>"
"""The task token of Florence-2, which takes no free question."""


class VisionModelError(BioiconsError):
    """The vision-language model cannot be loaded or used."""


@dataclass
class VisionCaptioner:
    """Captions by the grammar, with the attributes that a vision-language model sees.

    model: hub id or local folder. device: "cpu", "cuda", "mps". Decoding is greedy, so the same picture
    and weights give the same caption. The model is loaded at the first picture.
    """

    model: str
    device: str = "cpu"
    max_new_tokens: int = 40
    revision: str | None = None
    trust_remote_code: bool = False
    _loaded: tuple[Any, Any] | None = field(default=None, init=False, repr=False)

    def caption(self, image: bytes, hint: Hint) -> str:
        """One caption: the grammar's subject with the model's attributes, or the grammar's own."""
        picture = measure_picture(image)
        made = caption_icon(hint.name, hint.category, author=hint.author, picture=picture)
        richer = with_attributes(made, [self.describe(image, made.subject)])
        return made.text if richer.variants == made.variants else richer.variants[1]

    def describe(self, image: bytes, subject: str) -> str:
        """The model's own text for a PNG, which is put on white first.

        Raises:
            VisionModelError: the model cannot be loaded, or is no image-to-text model.
        """
        import torch

        processor, model = self._load()
        inputs = self._inputs(processor, _on_white(image), subject)
        inputs = {
            key: value.to(self.device) if hasattr(value, "to") else value for key, value in inputs.items()
        }
        with torch.inference_mode():
            tokens = model.generate(
                **inputs, max_new_tokens=self.max_new_tokens, do_sample=False, num_beams=1
            )
        prompt = inputs.get("input_ids")
        if prompt is not None and not model.config.is_encoder_decoder and _begins_with(tokens, prompt):
            tokens = tokens[:, prompt.shape[1] :]
        return processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()

    def _inputs(self, processor: Any, picture: Any, subject: str) -> dict:
        """Model inputs: a chat where the processor has a template, a task for Florence, else the picture."""
        if getattr(processor, "chat_template", None):
            question = QUESTION.format(subject=subject)
            message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
            prompt = processor.apply_chat_template([message], add_generation_prompt=True)
            return dict(processor(images=picture, text=prompt, return_tensors="pt"))
        if "florence" in type(processor).__name__.lower():
            return dict(processor(images=picture, text=FLORENCE_TASK, return_tensors="pt"))
        return dict(processor(images=picture, return_tensors="pt"))

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoModelForImageTextToText, AutoProcessor

            auto: Any = AutoModelForImageTextToText  # transformers' own annotation of it is wrong
            options = {"revision": self.revision, "trust_remote_code": self.trust_remote_code}
            try:
                processor = AutoProcessor.from_pretrained(self.model, **options)
                model = auto.from_pretrained(self.model, use_safetensors=True, **options)
            except (OSError, ValueError, KeyError) as error:
                raise VisionModelError(
                    f"The captioning model {self.model!r} cannot be loaded: give the hub id or the folder "
                    f"of an image-to-text model with safetensors weights ({type(error).__name__})."
                ) from error
            self._loaded = (processor, model.eval().to(self.device))
        return self._loaded


def _begins_with(tokens: Any, prompt: Any) -> bool:
    """Whether the generated sequence repeats its prompt (decoder-only models do, BLIP does not)."""
    length = prompt.shape[1]
    return tokens.shape[1] >= length and bool((tokens[:, :length] == prompt).all())


def _on_white(png: bytes) -> Any:
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return white.convert("RGB")
