"""Tokenizers of the tiny base: CLIP's byte pairs and T5's unigrams over ASCII and the words of captions.

Belongs here: which words have a token of their own. Does not belong here: shapes and weights (`tiny_base`).
"""

from __future__ import annotations

import string
from typing import Any

_LIST = """
a an the of in on with and from at by for no to two three four one single pair group icon bioicons style
scientific illustration flat vector simple clean white background side view top front section cross detail
outline filled black grey gray red orange yellow green blue purple pink brown beige dark light transparent
colour color colours cell cells membrane nucleus mitochondria mitochondrion ribosome golgi vesicle
chromosome chromatin dna rna mrna trna plasmid gene protein enzyme antibody receptor channel ligand kinase
peptide lipid bilayer virus virion capsid phage bacteria bacterium bacterial yeast fungus fungi algae
neuron axon dendrite synapse astrocyte microglia muscle bone blood vessel artery vein heart lung liver
kidney brain eye ear skin hair tooth stomach intestine pancreas spleen spine hand foot leg arm head body
human person man woman child patient doctor mouse rat rabbit dog cat pig cow sheep goat horse monkey frog
fish zebrafish fly drosophila mosquito worm bee ant spider snail bird chicken tardigrade plant leaf root
stem flower seed tree grass rice maize tomato wheat arabidopsis moss lab laboratory tube test beaker flask
bottle vial pipette tip syringe needle petri dish plate well wells microscope objective lens centrifuge
incubator freezer bench hood glove gloves goggles coat burner balance thermometer gel electrophoresis
sequencer pcr machine computer screen chart graph plot data arrow circle square box molecule atom bond
structure chemistry chemical reaction liquid water drop oil gas solid crystal powder culture medium sample
tissue organ organoid embryo egg sperm stem immune macrophage lymphocyte platelet erythrocyte leukocyte
antigen vaccine drug pill tablet capsule animals human physiology equipment microbiology genetics
"""
WORDS = tuple(dict.fromkeys(_LIST.split()))
"""Words that get a token of their own in both tokenizers; anything else is spelled in letters."""


def make_tokenizers() -> tuple[Any, Any]:
    """CLIP byte-pair and T5 unigram tokenizers over ASCII and the words captions are made of."""
    from transformers import CLIPTokenizer, T5TokenizerFast  # type: ignore[attr-defined]

    letters = string.ascii_lowercase + string.digits + string.punctuation
    vocabulary: dict[str, int] = {}
    for symbol in [*_byte_symbols(), *(f"{symbol}</w>" for symbol in _byte_symbols())]:
        vocabulary.setdefault(symbol, len(vocabulary))
    merges: Any = []
    for word in WORDS:
        left = word[0]
        for position, letter in enumerate(word[1:], start=2):
            right = letter + ("</w>" if position == len(word) else "")
            if left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                merges.append((left, right))
            left += right
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    clip = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(letter, -8.0) for letter in letters + string.ascii_uppercase + "éüöäµαβγσ"]
    pieces += [(f"▁{word}", -5.0 - 0.001 * rank) for rank, word in enumerate(WORDS)]
    return clip, T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=512)


def _byte_symbols() -> list[str]:
    """The 256 printable characters that byte-level BPE writes bytes as (GPT-2's table)."""
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())
