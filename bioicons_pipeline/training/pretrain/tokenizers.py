"""The two tokenizers of flux-nano, trained on its captions and on the words of the caption grammar.

Belongs here: texts → a CLIPTokenizer (byte-pair, by the tokenizers library) and a T5TokenizerFast (unigram,
by sentencepiece, https://arxiv.org/abs/1808.06226). Whole words where they are frequent, pieces of words
else: a LoRA brings words that the base never saw. Both fold case: "DNA" and "dna" are one word here.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any


def grammar_texts() -> list[str]:
    """Lines of the words that a bioicons caption may hold, from the hand tables; repetition is weight."""
    from bioicons_pipeline.captioning.grammar import BACKGROUND, TRIGGER
    from bioicons_pipeline.captioning.tables import tables

    known = tables()
    frame = [f"{TRIGGER}, {context}, {BACKGROUND}" for context in known.categories.values()]
    styles = sorted({row.phrase for row in known.substyles})
    subjects = sorted({subject for subject, _ in known.subjects.values()})
    return 20 * frame + 20 * styles + 3 * (subjects + sorted(known.biology))


def train_tokenizers(texts: Sequence[str], vocabulary: int) -> tuple[Any, Any]:
    """(CLIP tokenizer, T5 tokenizer) with about `vocabulary` entries each; a pure function of the texts."""
    return _clip(texts, vocabulary), _t5(texts, vocabulary)


def _clip(texts: Sequence[str], vocabulary: int) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    # words are cut as CLIPTokenizer will cut them, so that what is merged here is found there
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    pairs = [pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"]]
    merges: Any = [tuple(pair) for pair in pairs]
    entries: dict[str, int] = {}
    for entry in [*alphabet, *(f"{symbol}</w>" for symbol in alphabet), *("".join(pair) for pair in merges)]:
        entries.setdefault(entry, len(entries))
    for special in ("<|startoftext|>", "<|endoftext|>"):
        entries[special] = len(entries)
    return CLIPTokenizer(vocab=entries, merges=merges, model_max_length=77)


def _t5(texts: Sequence[str], vocabulary: int) -> Any:
    import sentencepiece
    from transformers import T5TokenizerFast  # type: ignore[attr-defined]
    from transformers.utils import sentencepiece_model_pb2_new as sentencepiece_model_pb2

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(  # type: ignore[attr-defined]
        sentence_iterator=iter(texts),
        model_writer=written,
        model_type="unigram",
        vocab_size=vocabulary,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc_cf",  # NFKC and case folding
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,  # the result depends on nothing but the texts
        minloglevel=2,
    )
    messages: Any = sentencepiece_model_pb2  # generated: its names are made when it is imported
    model = messages.ModelProto.FromString(written.getvalue())
    return T5TokenizerFast(
        vocab=[(piece.piece, piece.score) for piece in model.pieces],
        _spm_precompiled_charsmap=model.normalizer_spec.precompiled_charsmap,
        extra_ids=0,
        model_max_length=512,
    )
