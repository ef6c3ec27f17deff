"""The rules on what is worth training on: measures of one icon -> reasons against it.

Belongs here: each rule on one icon, and the words by which charts, logos and safety signs are known. Does
not belong here: rules that compare icons (exact duplicates: `manifest`), and the licence gate.

Safety symbols are dropped by category: a hazard sign that a model invents is dangerous. Logos are
trademarks whatever their copyright licence says. Charts and diagrams are no objects.
"""

import re

from bioicons_pipeline.library.curation import CurationRules
from bioicons_pipeline.library.measure import Measured
from bioicons_pipeline.library.records import ExclusionReason, PathFacts

REFUSALS = {"empty": ExclusionReason.EMPTY_FILE, "nothing_drawn": ExclusionReason.BLANK}
"""The renderer's refusals that have a reason of their own; all others are `malformed`."""

SAFETY_CATEGORIES = frozenset({"safety_symbols"})
SAFETY_AUTHORS = frozenset({"unece"})
CHART_CATEGORIES = frozenset({"scientific_graphs"})
SAFETY_WORDS = re.compile(
    r"\b(ghs ?\d*|(?:bio)?hazard\w*|radioactiv\w*|skull and cross ?bones|"
    r"(?:warning|danger|caution|safety|toxic|prohibition|no entry) (?:signs?|symbols?|labels?|pictograms?))\b"
)
LOGO_WORDS = re.compile(r"\b(logo|logos|logotype|trademark|wordmark|brand)\b")
LOGO_AUTHORS = frozenset(
    [
        "facebook",
        "google",
        "jupyter",
        "julia",
        "python",
        "rust",
        "rcoreteam",
        "galaxy",
        "openmm",
        "gromacs",
        "ncbi",
        "pubchem",
        "francoischollet",
    ]
)
"""Folders that hold an organisation's or project's own sign, named after it."""
LOGO_NAMES = frozenset(
    [
        "python",
        "pytorch",
        "tensorflow",
        "keras",
        "numpy",
        "scipy",
        "jupyter",
        "julia",
        "rust",
        "r",
        "matlab",
        "docker",
        "github",
        "gitlab",
        "git",
        "nextflow",
        "snakemake",
        "conda",
        "bioconda",
        "bioconductor",
        "galaxy",
        "colab",
        "openmm",
        "gromacs",
        "linux",
        "ubuntu",
        "windows",
        "apple",
        "android",
    ]
)
"""Names of programs that are their logo, in the categories of software."""
SOFTWARE_CATEGORIES = frozenset(
    {"machine_learning", "chemo-_and_bioinformatics", "computer_hardware", "genomics"}
)
CHART_WORDS = re.compile(
    r"\b((?:bar|box|violin|scatter|line|pie|volcano|manhattan|density|forest) ?(?:plots?|charts?|graphs?)|"
    r"heat ?maps?|histograms?|kaplan ?meier|roc ?curves?|flow ?(?:charts?|diagrams?)|venn|charts?|plots?|"
    r"graphs?|diagrams?|workflows?|dendrograms?|phylogenetic ?trees?|timelines?|mind ?maps?|"
    r"umap|t ?sne|pca|differential (?:gene )?expression\w*|"
    r"(?:growth|survival|standard|calibration|melting|dose response|titration) ?curves?|"
    r"chromatograms?|spectrograms?|electropherograms?|flow ?sheets?)\b"
)
CONCEPT_WORDS = re.compile(
    r"\b(algorithms?|(?:\w+ )?networks?(?: \d+)?|attention(?: mechanism)?|encoding|one ?hot ?encoding|"
    r"(?:auto)?encoders?|transformers?|classification|clustering|regression|sigmoid|pipelines?|"
    r"data ?mining|decision ?trees?|random ?forests?|gradient ?descent|embeddings?)\b"
)
CONCEPT_CATEGORIES = frozenset({"machine_learning", "chemo-_and_bioinformatics"})
"""Where these words name schemes of boxes and arrows, not objects (a network switch is one)."""


def words_of(name: str) -> str:
    """A file name as lower-case words with single spaces."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name)
    return re.sub(r"[\W_]+", " ", spaced).strip().lower()


def reasons_against(
    facts: PathFacts, measured: Measured, byte_size: int, rules: CurationRules
) -> list[ExclusionReason]:
    """Every reason found against one icon, in the order of `ExclusionReason`."""
    found = set(_cannot_be_drawn(measured, byte_size, rules))
    if not found.intersection({ExclusionReason.EMPTY_FILE, ExclusionReason.MALFORMED}):
        if rules.drop_embedded_raster and measured.raster_share >= rules.raster_share:
            found.add(ExclusionReason.EMBEDDED_RASTER)
        if rules.drop_text and measured.text_chars >= rules.text_chars:
            found.add(ExclusionReason.CONTAINS_TEXT)
        if rules.drop_extreme_aspect and _is_extreme(measured.aspect, rules.aspect):
            found.add(ExclusionReason.EXTREME_ASPECT)
    found.update(_by_name(facts, rules))
    return [reason for reason in ExclusionReason if reason in found]


def _cannot_be_drawn(measured: Measured, byte_size: int, rules: CurationRules) -> list[ExclusionReason]:
    if byte_size == 0:
        return [ExclusionReason.EMPTY_FILE] if rules.drop_empty else []
    if measured.refusal:
        reason = REFUSALS.get(measured.refusal, ExclusionReason.MALFORMED)
        switched_on = {
            ExclusionReason.EMPTY_FILE: rules.drop_empty,
            ExclusionReason.BLANK: rules.drop_blank,
            ExclusionReason.MALFORMED: rules.drop_malformed,
        }
        return [reason] if switched_on[reason] else []
    return [ExclusionReason.BLANK] if measured.blank and rules.drop_blank else []


def _is_extreme(aspect: float | None, limit: float) -> bool:
    return aspect is not None and max(aspect, 1 / aspect) >= limit


def _by_name(facts: PathFacts, rules: CurationRules) -> list[ExclusionReason]:
    found = []
    category = facts.category.casefold()
    author = re.sub(r"[\W_]", "", (facts.author_folder or "").casefold())
    words = words_of(facts.name)
    if rules.drop_safety_symbols and (
        category in SAFETY_CATEGORIES or author in SAFETY_AUTHORS or SAFETY_WORDS.search(words)
    ):
        found.append(ExclusionReason.SAFETY_SYMBOL)
    is_program = words.replace(" ", "") in LOGO_NAMES and category in SOFTWARE_CATEGORIES
    if rules.drop_logos and (LOGO_WORDS.search(words) or author in LOGO_AUTHORS or is_program):
        found.append(ExclusionReason.TRADEMARK_LOGO)
    is_scheme = category in CONCEPT_CATEGORIES and CONCEPT_WORDS.search(words)
    if rules.drop_charts and (category in CHART_CATEGORIES or CHART_WORDS.search(words) or is_scheme):
        found.append(ExclusionReason.CHART_OR_DIAGRAM)
    return found
