"""Indefinite articles: "an eosinophil", "a pink mouse", but "antibodies" and "collagen" without one.

Articles come from inflect (https://pypi.org/project/inflect); what it cannot know stands here: which of
biology's nouns have no plural and which end in s without being one.
"""

import re
from functools import lru_cache

from bioicons_pipeline.captioning.tables import tables

_PROPER = frozenset(["PyTorch", "Keras", "TensorFlow", "Jupyter", "Galaxy"])
_SINGULAR_S = re.compile(
    r"(ss|us|is|as|ics|eps|opheles|pancreas|diabetes|series|species|forceps|lens|pelvis|laevis|swiss)$",
    re.IGNORECASE,
)
_SPOKEN = frozenset(
    [
        "SARS",
        "GROMACS",
        "FASTQ",
        "BLOSUM62",
        "PubChem",
        "PyTorch",
        "OpenMM",
        "BAM",
        "PacBio",
        "ReLU",
        "MiSeq",
        "HeLa",
        "SMILES",
        "GEO",
    ]
)
_CONDITIONS = ("itis", "osis", "emia", "megaly", "poiesis", "physema", "ulation", "ection board")
_PREPOSITIONS = re.compile(
    r"\s(?:of|with|without|in|on|from|for|after|expressing|showing|against|under|by|at|to|through|during|"
    r"storing|carrying|performing|laying|versus|inside|attached)\s"
)


@lru_cache(maxsize=1)
def _engine():
    import inflect  # takes a quarter of a second to import

    return inflect.engine()


def head_of(subject: str) -> str:
    """The noun that the phrase is about: `"petri dish with bacteria"` -> `"dish"`."""
    phrase = re.sub(r"\s*\([^)]*\)", "", _PREPOSITIONS.split(subject.split(",")[0], maxsplit=1)[0]).split()
    return phrase[-1] if phrase else subject


_PAIR = re.compile(r" and [^\s,]+$")
"""Two nouns beside each other: "trachea and bronchi"; not "hematoxylin and eosin stain"."""


def is_pair(subject: str) -> bool:
    """Whether `subject` is two things, which take no common article."""
    return bool(_PAIR.search(_PREPOSITIONS.split(subject, maxsplit=1)[0]))


def is_plural(word: str) -> bool:
    """Whether the noun `word` is plural; biology's Latin plurals included."""
    low = word.casefold()
    if low in tables().plurals or word in tables().plurals:
        return True
    if not low.endswith("s") or len(low) < 4:
        return False
    return not _SINGULAR_S.search(low)


_THINGS = re.compile(r"(?:magnifying|stained|hour|wine|watch) ?glass|traffic light|glass of ", re.IGNORECASE)
"""Glass and light are things here, and not what things are made of."""


@lru_cache(maxsize=8192)
def with_article(subject: str, adjective: str | None = None) -> str:
    """`subject` with its adjective and indefinite article: "a pink mouse", "eggs", "an eosinophil"."""
    phrase = f"{adjective} {subject}" if adjective else subject
    head = head_of(subject)
    counted = bool(_THINGS.search(subject)) or not (
        head.endswith(_CONDITIONS)
        or is_plural(head)
        or is_pair(subject)
        or head in tables().mass
        or head.casefold() in tables().mass
        or head in _PROPER
    )
    if not counted or not phrase[:1].isalnum() or not phrase.isprintable():
        return phrase
    return f"{_article(phrase.split()[0])} {phrase}"


def _article(word: str) -> str:
    """ "a" or "an" by sound: by the first letter's name where `word` is spelt out (HIV, mRNA, LDL)."""
    if word[0].isdigit():
        return "an" if re.match(r"8|11(?!\d)|18(?!\d)", word) else "a"
    if not word.isascii():
        return "a"
    letters = word.split("-")[0]
    if sum(letter.isupper() for letter in letters) > 1 and letters not in _SPOKEN:
        return "an" if letters[0].lower() in "aefhilmnorsx" else "a"
    return _engine().a(word).split()[0]
