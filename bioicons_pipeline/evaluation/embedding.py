"""Picture and text embeddings of a model that the user names: CLIP, SigLIP, DINOv2 and their kin.

Belongs here: loading one and running it. Does not belong here: what is made of the vectors. Optional: nothing
is downloaded unless a hub id is given, and without a model the figures that need one are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bioicons_pipeline.errors import BioiconsError

BATCH = 16


class EmbeddingError(BioiconsError):
    """The model for embeddings cannot be used."""


class Embedder:
    """A model with its preprocessing; `texts` only where the model reads text (`reads_text`)."""

    def __init__(self, name: str, model: Any, pictures: Any, tokenizer: Any) -> None:
        self.name, self._model, self._pictures, self._tokenizer = name, model, pictures, tokenizer

    @classmethod
    def load(cls, folder_or_id: str) -> Embedder:
        """From a folder in transformers' layout, or from the hub.

        Raises:
            EmbeddingError: it is not there, or no model of pictures.
        """
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        from bioicons_pipeline.quiet import quieten_libraries

        quieten_libraries()
        local = Path(folder_or_id).expanduser()
        where = str(local) if local.is_dir() else folder_or_id
        try:
            model = AutoModel.from_pretrained(where, use_safetensors=True).eval()
            pictures = AutoImageProcessor.from_pretrained(where)
            tokenizer = AutoTokenizer.from_pretrained(where) if hasattr(model, "get_text_features") else None
        except (OSError, ValueError, KeyError, ImportError) as error:
            first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise EmbeddingError(
                f"No model for embeddings can be loaded from {folder_or_id} ({first}): give a folder of a "
                "CLIP or DINOv2 model, or its hub id while online."
            ) from error
        return cls(Path(folder_or_id).name or folder_or_id, model, pictures, tokenizer)

    @property
    def reads_text(self) -> bool:
        """It embeds texts too, into the same space."""
        return self._tokenizer is not None

    def pictures(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """(N, d) float64 of unit length."""

        def run(part: Sequence[Image.Image]) -> Any:
            given = self._pictures(images=[picture.convert("RGB") for picture in part], return_tensors="pt")
            if self.reads_text:
                return self._model.get_image_features(**given)
            return self._model(**given)

        return self._embed(pictures, run)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, d) float64 of unit length; a text's end beyond the model's length is not read."""

        def run(part: Sequence[str]) -> Any:
            given = self._tokenizer(list(part), padding=True, truncation=True, return_tensors="pt")
            return self._model.get_text_features(**given)

        return self._embed(texts, run)

    def _embed(self, items: Sequence[Any], run: Any) -> np.ndarray:
        import torch

        found = []
        for start in range(0, len(items), BATCH):
            with torch.inference_mode():
                given = run(items[start : start + BATCH])
            # newer transformers return an output object where older ones return the tensor
            vectors = given if isinstance(given, torch.Tensor) else given.pooler_output
            found.append(vectors.float().numpy().astype(np.float64))
        stacked = np.concatenate(found)
        return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
