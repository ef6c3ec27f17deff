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
    colours: tuple[str, ...] = ()
    """What in its drawings may be any colour: `currentColor`, and colours as its files write them."""
    turned: bool = False
    """Whether its few colours are turned around the colour circle."""
    manners: tuple[tuple[str, str], ...] = ()
    """(end of a name, style of what is named so), the longest first; an empty end takes the rest. Where there
    are any, what no end takes is left out, and so is what has an empty style."""

    @property
    def painted(self) -> bool:
        """Whether its colours are drawn by chance."""
        return bool(self.colours) or self.turned

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

_STREAMLINE = ("CC-BY-4.0", "Streamline", "https://github.com/webalys-hq/streamline-vectors")
_ANY = ("currentColor",)
_FLAT = (("-flat", "flat shapes of one hue"), ("", "coloured outlines with pale fill"))

WIDER = (
    IconSetSource(
        "healthicons", "1.2.13", "MIT", "Resolve to Save Lives",
        "https://github.com/resolvetosavelives/healthicons", "solid shapes of one colour", _ANY,
        manners=(("-outline-24px", ""), ("-24px", ""), ("-negative", ""), ("-outline", "lines of one colour"),
                 ("", "solid shapes of one colour")),
    ),
    IconSetSource(
        "medical-icon", "1.2.0", "MIT", "Samuel Frémondière",
        "https://github.com/samcome/webfont-medical-icons", "sign of one colour", _ANY,
    ),
    IconSetSource("covid", "1.2.3", *_STREAMLINE, "lines of one colour", _ANY),
    IconSetSource(
        "game-icons", "1.2.4", "CC-BY-3.0", "GameIcons",
        "https://github.com/game-icons/icons", "detailed silhouette", _ANY,
    ),
    IconSetSource(
        "tabler", "1.2.41", "MIT", "Paweł Kuna",
        "https://github.com/tabler/tabler-icons", "lines of one colour", _ANY,
        manners=(("-filled", "solid shapes of one colour"), ("", "lines of one colour")),
    ),
    IconSetSource(
        "ph", "1.2.2", "MIT", "Phosphor Icons",
        "https://github.com/phosphor-icons/core", "two tones of one colour", _ANY,
        manners=(("-duotone", "two tones of one colour"), ("-fill", "solid shapes of one colour"),
                 ("-light", ""), ("-thin", ""), ("-bold", "bold lines of one colour")),
    ),
    IconSetSource(
        "solar", "1.2.13", "CC-BY-4.0", "480 Design",
        "https://www.figma.com/community/file/1166831539721848736", "two tones of one colour", _ANY,
        manners=(("-bold-duotone", "two tones of one colour"), ("-line-duotone", ""),
                 ("-bold", "solid shapes of one colour"), ("-linear", "lines of one colour")),
    ),
    IconSetSource(
        "mdi", "1.2.3", "Apache-2.0", "Pictogrammers",
        "https://github.com/Templarian/MaterialDesign", "solid shapes of one colour", _ANY,
        manners=(("-outline", "lines of one colour"), ("", "solid shapes of one colour")),
    ),
    IconSetSource(
        "icon-park", "1.2.4", "Apache-2.0", "ByteDance",
        "https://github.com/bytedance/IconPark", "dark outlines with two colours", ("#2F88FF", "#43CCF8"),
    ),
    IconSetSource("streamline-color", "1.2.2", *_STREAMLINE, "coloured outlines with pale fill",
                  turned=True, manners=_FLAT),
    IconSetSource("streamline-plump-color", "1.2.2", *_STREAMLINE, "plump coloured outlines with pale fill",
                  turned=True, manners=_FLAT),
    IconSetSource("streamline-flex-color", "1.2.2", *_STREAMLINE, "coloured outlines with pale fill",
                  turned=True, manners=_FLAT),
    IconSetSource("streamline-sharp-color", "1.2.2", *_STREAMLINE, "sharp coloured outlines with pale fill",
                  turned=True, manners=_FLAT),
    IconSetSource("streamline-cyber-color", "1.2.2", *_STREAMLINE, "angular outlines with flat fill",
                  turned=True),
    IconSetSource("streamline-freehand-color", "1.2.2", *_STREAMLINE, "drawn by hand with a pen",
                  turned=True),
    IconSetSource("streamline-stickies-color", "1.2.2", *_STREAMLINE, "loose outlines with flat fill",
                  turned=True),
    IconSetSource(
        "fluent-color", "1.2.21", "MIT", "Microsoft Corporation",
        "https://github.com/microsoft/fluentui-system-icons", "smooth gradients", turned=True,
        manners=(("-48", "smooth gradients"), ("-32", "smooth gradients")),
    ),
)  # fmt: skip
"""About 20,000 icons of which most say nothing of colour: they are drawn in colours by chance, which their
captions name, and many drawings of one concept keep its name from meaning one of them."""

_BY_NAME = {source.name: source for source in (*SOURCES, *WIDER)}
_SKIN = re.compile(r"skin-tone|-type-\d|-(light|medium|dark|medium-light|medium-dark)$")
_DROPPED = re.compile(
    r"(^|-)(flags?|keycap|regional|squared|input|button|clock|oclock|thirty|family|couple|kiss|japanese|symbol|"
    r"tag|letters?|digit|numbers?|ideograph|variant|arrows?|cursor|align|text|file|layout|"
    r"facing-right|men|women|wrestl\w+|logo|rightwards|leftwards|banknote|cjkunified\w*)(-|$)"
    r"|^(man|woman|person|mr|mrs|mx|boy|girl)-.*(-|$)(?!face)"
)
_INTERFACE = re.compile(
    r"(^|-)(account|user|users|person|folder|border|alpha|alphabet|numeric|brand|chevron|caret|sort|filter|format|"
    r"dots|grid|table|view|window|app|browser|wifi|signal|off|slash|minus|plus|check|cancel|remove|add|edit|"
    r"search|settings|list|menu|api|code|database|server|cloud|currency|credit|payment|message|messages|mail|"
    r"email|chat|notification|login|logout|lock|unlock|square|circle|rounded|hexagon|box|up|down|left|right|"
    r"corner|axis|math|percentage|abstract|letter|number|zodiac|tallymark\w*|\w*logo|logos?|microsoft|google|"
    r"apple-\w+|android|facebook|twitter|cellphone|monitor|laptop|tablet|page|document|report|chart|card|"
    r"template|design|data|github|gitlab|git|discord|dropbox|bluetooth|xbox|playstation|windows|steam|bitcoin|"
    r"dollar|euro|pound|yen|rupee|dribbble|figma|linux|youtube|spotify|netflix|amazon|slack|twitch|screen|"
    r"screens|programming|business|interface|network|web|internet)(-|$)"
)
_NOISE = re.compile(r"^(\d+|alt|alternate|icon|sign|with|of|the|and|in|on|for|a|an)$")


def wanted(name: str) -> bool:
    """False for what has no word of its own: flags, skin tones, clock faces, letters, arrows, professions."""
    return not (_SKIN.search(name) or _DROPPED.search(name)) and bool(words(name))


def manner(source: IconSetSource, name: str) -> tuple[str, str] | None:
    """(style, name without its end) of an icon of the set; None where it is left out."""
    if not source.manners:
        return source.style, name
    for end, style in source.manners:
        if name.endswith(end):
            return (style, name.removesuffix(end)) if style else None
    return None


def stem(key: str) -> str:
    """An icon's name (`<set>/<name>`) without the end that says how it is drawn."""
    return _manner(key)[1]


def style_of(key: str) -> str:
    """How the icon `<set>/<name>` is drawn."""
    return _manner(key)[0]


def _manner(key: str) -> tuple[str, str]:
    name, _, rest = key.partition("/")
    source = _BY_NAME.get(name)
    return (manner(source, rest) if source else None) or ("flat shapes", rest)


def of_interface(name: str) -> bool:
    """Whether a name says what a button does, or what is on a screen, and not what is drawn."""
    return bool(_INTERFACE.search(name))


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
