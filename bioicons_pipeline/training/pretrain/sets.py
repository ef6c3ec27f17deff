"""The icon sets flux-nano learns from: which, under which licence, and what an icon's name says.

Belongs here: the table of npm packages, pinned, and the words of a name. Does not belong here: fetching
and rendering (icons). All are iconify's npm packages (https://iconify.design/docs/icons/json.html):
`icons.json` holds the SVG bodies, `info.json` author and licence. No bioicons: they are what a LoRA teaches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class IconSetSource:
    """One npm package. `style` is its phrase in captions, `spdx` the licence that it declares."""

    name: str
    version: str
    spdx: str
    author: str
    url: str
    style: str

    @property
    def package(self) -> str:
        """Name and version as npm takes them."""
        return f"@iconify-json/{self.name}@{self.version}"


SOURCES = (
    IconSetSource(
        "fluent-emoji-flat", "1.2.6", "MIT", "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji", "flat colours",
    ),
    IconSetSource(
        "fluent-emoji", "1.2.7", "MIT", "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji", "soft shading",
    ),
    IconSetSource(
        "noto", "1.2.9", "Apache-2.0", "Google Inc",
        "https://github.com/googlefonts/noto-emoji", "simple shading",
    ),
    IconSetSource(
        "noto-v1", "1.2.5", "Apache-2.0", "Google Inc",
        "https://github.com/googlefonts/noto-emoji", "rounded flat shapes",
    ),
    IconSetSource(
        "twemoji", "1.2.5", "CC-BY-4.0", "Twitter",
        "https://github.com/twitter/twemoji", "plain flat shapes",
    ),
    IconSetSource(
        "emojione", "1.2.3", "CC-BY-4.0", "Emoji One",
        "https://github.com/EmojiTwo/emojitwo", "flat facets",
    ),
    IconSetSource(
        "fxemoji", "1.2.2", "Apache-2.0", "Mozilla",
        "https://github.com/mozilla/fxemoji", "muted flat colours",
    ),
    IconSetSource(
        "streamline-emojis", "1.2.4", "CC-BY-4.0", "Streamline",
        "https://github.com/webalys-hq/streamline-vectors", "coloured outlines",
    ),
    IconSetSource(
        "flat-color-icons", "1.2.3", "MIT", "Icons8",
        "https://github.com/icons8/flat-Color-icons", "flat user interface",
    ),
    IconSetSource(
        "streamline-kameleon-color", "1.2.2", "CC-BY-4.0", "Streamline",
        "https://github.com/webalys-hq/streamline-vectors", "flat object on a disc",
    ),
    IconSetSource(
        "streamline-ultimate-color", "1.2.2", "CC-BY-4.0", "Streamline",
        "https://github.com/webalys-hq/streamline-vectors", "outlined with pastel fill",
    ),
)  # fmt: skip
"""About 10,000 icons after `wanted`; the same concept is drawn by up to eight sets."""

_SKIN = re.compile(r"skin-tone|-type-\d|-(light|medium|dark|medium-light|medium-dark)$")
_DROPPED = re.compile(
    r"(^|-)(flags?|keycap|regional|squared|input|button|clock|oclock|thirty|family|couple|kiss|japanese|symbol|"
    r"tag|letters?|digit|numbers?|ideograph|variant|arrows?|cursor|align|text|file|layout|"
    r"facing-right|men|women|wrestl\w+|logo|rightwards|leftwards|banknote|cjkunified\w*)(-|$)"
    r"|^(man|woman|person|mr|mrs|mx|boy|girl)-.*(-|$)(?!face)"
)
_NOISE = re.compile(r"^(\d+|alt|alternate|icon|sign|with|of|the|and|in|on|for|a|an)$")


def wanted(name: str) -> bool:
    """False for what has no word of its own: flags, skin tones, clock faces, letters, arrows, professions."""
    return not (_SKIN.search(name) or _DROPPED.search(name)) and bool(words(name))


def words(name: str, known: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The words of an icon's name, lower case, without counters: `dog-face-2` → ("dog", "face").

    A part that is no word of `known`, but is several of them written together, is split (fxemoji's
    `alarmclock`).
    """
    parts = [part for part in re.split(r"[-_ ]+", name.lower()) if not re.fullmatch(r"\d*|flat|duo", part)]
    return tuple(word for part in parts for word in _split(part, known))


def keywords(words: tuple[str, ...]) -> frozenset[str]:
    """Those of the words that say what is drawn (no articles, prepositions, counters)."""
    return frozenset(word for word in words if not _NOISE.match(word) and len(word) > 2)


def _split(part: str, known: frozenset[str]) -> tuple[str, ...]:
    """`part` as the fewest words of `known`, or as it is."""
    if part in known or not known:
        return (part,)
    best: list[tuple[str, ...] | None] = [None] * (len(part) + 1)
    best[0] = ()
    for end in range(1, len(part) + 1):
        for start in range(end):
            left = best[start]
            if left is None or part[start:end] not in known:
                continue
            found = best[end]
            if found is None or len(left) + 1 < len(found):
                best[end] = (*left, part[start:end])
    return best[-1] or (part,)
