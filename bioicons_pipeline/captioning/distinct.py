"""Different drawings of the same thing by the same hand: what tells their captions apart.

Belongs here: captions of a whole category in, the same captions out, with a visible detail where icons of
different families would share one. Does not belong here: captions of one icon (`grammar`); a better name for
a known icon, which is a line of `data/subjects.csv`. Within a family a shared caption is right: its members
are variants of one drawing.

The detail is measured, so it is true: first the accents of the palette, then how the drawing fills its
frame, then its tone. Only where all of them agree, or the caption would not fit the encoder, are the
drawings counted.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from bioicons_pipeline.captioning.checks import CLIP_TOKENS, clip_tokens
from bioicons_pipeline.captioning.grammar import Captions
from bioicons_pipeline.captioning.picture import StyleFacts

_ACCENT = 0.05
"""Share of the foreground from which on a colour is seen as an accent."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def distinguish(
    made: Mapping[str, Captions],
    families: Mapping[str, str],
    pictures: Mapping[str, StyleFacts | None],
) -> dict[str, Captions]:
    """`made` with first captions that no two families share. All three are keyed by icon_id. Pure.

    An icon without a family is one of its own. Captions that are distinct already are left as they are.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for icon in sorted(made):
        groups[made[icon].text].append(icon)
    found = dict(made)
    for icons in groups.values():
        families_here = {families.get(icon, icon) for icon in icons}
        if len(families_here) > 1:
            details = _details(icons, families, pictures)
            if any(_too_long(with_detail(made[icon], text)) for icon, text in details.items()):
                details = _counted(icons, families)
            found |= {icon: with_detail(made[icon], text) for icon, text in details.items()}
    return found


def with_detail(made: Captions, detail: str) -> Captions:
    """`made` with `detail` in the variants that describe the whole picture."""
    end = f", {made.background}"
    variants = tuple(
        f"{text.removesuffix(end)}, {detail}{end}" if text.endswith(end) else text for text in made.variants
    )
    return replace(made, text=variants[0], variants=variants)


def _too_long(captions: Captions) -> bool:
    return clip_tokens(captions.text) > CLIP_TOKENS


def _details(
    icons: list[str], families: Mapping[str, str], pictures: Mapping[str, StyleFacts | None]
) -> dict[str, str]:
    """icon_id -> the shortest detail that no other family of `icons` has."""
    said: dict[str, tuple[str, ...]] = dict.fromkeys(icons, ())
    for describe in _DESCRIPTIONS:
        phrases = {icon: describe(facts) if (facts := pictures.get(icon)) else "" for icon in icons}
        more = {icon: (*said[icon], phrases[icon]) if phrases[icon] else said[icon] for icon in icons}
        if len(set(more.values())) > len(set(said.values())):  # else it says the same of all
            said = more
        if not _shared(said, families):
            break
    for clash in _shared(said, families):
        for icon, count in _counted(clash, families).items():
            said[icon] = (*said[icon], count)
    return {icon: ", ".join(phrases) for icon, phrases in said.items() if phrases}


def _counted(icons: list[str], families: Mapping[str, str]) -> dict[str, str]:
    """icon_id -> "first drawing", "second drawing", a number for each family."""
    order = list(dict.fromkeys(families.get(icon, icon) for icon in icons))
    return {icon: f"{_ordinal(order.index(families.get(icon, icon)))} drawing" for icon in icons}


def _shared(said: Mapping[str, tuple[str, ...]], families: Mapping[str, str]) -> list[list[str]]:
    """Groups of icons of different families of which the same is said."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for icon, phrases in said.items():
        groups[phrases].append(icon)
    return [icons for icons in groups.values() if len({families.get(icon, icon) for icon in icons}) > 1]


def _accents(facts: StyleFacts) -> str:
    """ "with blue and yellow accents": the two colours after the first, where they are seen."""
    names = [name for name, share in facts.palette[1:3] if share >= _ACCENT]
    return f"with {' and '.join(names)} accents" if names else ""


def _fill(facts: StyleFacts) -> str:
    """How much of its own box the drawing covers."""
    if facts.cover > 0.75:
        return "compact shape"
    return "open shape" if facts.cover < 0.35 else ""


def _tone(facts: StyleFacts) -> str:
    """How dark the drawing is on the whole."""
    if facts.dark > 0.4:
        return "dark tones"
    return "light tones" if facts.dark < 0.02 else ""


_DESCRIPTIONS: Iterable[Callable[[StyleFacts], str]] = (_accents, _fill, _tone)


def _ordinal(index: int) -> str:
    return _ORDINALS[index] if index < len(_ORDINALS) else f"number {index + 1}"
