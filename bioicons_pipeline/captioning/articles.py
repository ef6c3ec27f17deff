"""Indefinite articles: "an eosinophil", "a pink mouse", but "antibodies" and "collagen" without one.

Articles come from inflect (https://pypi.org/project/inflect); what it cannot know stands here: which of
biology's nouns have no plural and which end in s without being one.
"""

import re
from functools import lru_cache

MASS = frozenset(
    """actin agarose angiogenesis apoptosis blood butter cheese chemistry chromatin chromatography coagulation collagen colonoscopy
    cytosine dissemination distillation DNA RNA mRNA tRNA rRNA siRNA miRNA ssDNA dsDNA A-DNA B-DNA C-DNA Z-DNA edema emphysema
    endocytosis evaporation exocytosis phagocytosis pinocytosis electrophoresis epithelium fibrin filtration flour glass hair
    hematopoiesis heat honey hydrogel interference keratin lactose laminin light meiosis milk mitosis meat mycelium myosin oil
    pasta peristalsis perfusion radiation recombination rice salad salami salt sequencing skin smoke soap sugar sunscreen
    tissue toast transcription translation transcytosis tuna vascularization water wheat wood yeast yoghurt intelligence
    cartilage bread rickets diabetes adenine guanine thymine uracil alanine arginine asparagine cysteine glutamine
    glycine histidine isoleucine leucine lysine methionine phenylalanine proline pyrrolysine selenocysteine serine threonine
    tryptophan tyrosine valine F-actin physiology autumn summer winter spring day night tobacco corn counseling reproduction copulation
    hydroponics precision""".split()
)
"""Nouns without an article, as the last word of the noun phrase."""

_PROPER = frozenset("PyTorch Keras TensorFlow Jupyter Galaxy".split())
_SINGULAR_S = re.compile(
    r"(ss|us|is|as|ns|ics|eps|opheles|pancreas|diabetes|series|species|forceps|lens|pelvis|laevis|swiss)$", re.IGNORECASE
)
_PLURAL = frozenset(
    "bacteria mitochondria larvae hyphae mycelia conidia people teeth mice men women children germlings alveoli cilia "
    "flagella foci villi ova fungi nuclei vertebrae papillae iPSCs scissors glasses sunglasses sweets fries beans neurons "
    "adipocytes lens_ eons pains veins fibrins proteins neurotoxins ions receptors gens ribbons".split()
)
_SPOKEN = frozenset("SARS GROMACS FASTQ BLOSUM62 PubChem PyTorch OpenMM BAM PacBio ReLU MiSeq HeLa SMILES GEO".split())
_CONDITIONS = ("itis", "osis", "emia", "megaly", "poiesis", "physema", "ulation", "ection board")
_PREPOSITIONS = re.compile(
    r"\s(?:of|with|without|in|on|from|for|after|expressing|showing|against|under|by|at|to|through|during|storing|carrying|performing|laying|and|versus|inside|attached)\s"
)


@lru_cache(maxsize=1)
def _engine():
    import inflect  # takes a quarter of a second to import

    return inflect.engine()


def head_of(subject: str) -> str:
    """The noun that the phrase is about: `"petri dish with bacteria"` -> `"dish"`."""
    phrase = re.sub(r"\s*\([^)]*\)", "", _PREPOSITIONS.split(subject.split(",")[0], maxsplit=1)[0]).split()
    return phrase[-1] if phrase else subject


def is_plural(word: str) -> bool:
    """Whether the noun `word` is plural; biology's Latin plurals included."""
    low = word.casefold()
    if low in _PLURAL or word in _PLURAL:
        return True
    if not low.endswith("s") or len(low) < 4:
        return False
    if low.endswith(("ions", "ons", "ens", "ins", "ans")) and low not in {"lens"}:
        return True
    return not _SINGULAR_S.search(low)


@lru_cache(maxsize=8192)
def with_article(subject: str, adjective: str | None = None) -> str:
    """`subject` with its adjective and indefinite article: "a pink mouse", "eggs", "an eosinophil"."""
    phrase = f"{adjective} {subject}" if adjective else subject
    head = head_of(subject)
    counted = not (head.endswith(_CONDITIONS) or is_plural(head) or head in MASS or head.casefold() in MASS or head in _PROPER)
    if not counted or not phrase[:1].isalnum() or not phrase.isprintable():
        return phrase
    return f"{_article(phrase.split()[0])} {phrase}"


def _article(word: str) -> str:
    """"a" or "an" by sound: by the first letter's name where `word` is spelt out (HIV, mRNA, LDL)."""
    if word[0].isdigit():
        return "an" if re.match(r"8|11(?!\d)|18(?!\d)", word) else "a"
    if not word.isascii():
        return "a"
    letters = word.split("-")[0]
    if sum(letter.isupper() for letter in letters) > 1 and letters not in _SPOKEN:
        return "an" if letters[0].lower() in "aefhilmnorsx" else "a"
    return _engine().a(word).split()[0]
