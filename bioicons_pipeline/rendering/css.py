"""Style sheets and style attributes: what a still, offline, light-mode browser would use of them.

Belongs here: text-level cleaning of CSS (no `@import`, no `@font-face`, no `url()` but `#id`), and the two
functions that draw.io exports need: `light-dark(a, b)` becomes a (CSS Color 5) and `var(--x, y)` the value
of `--x` or y (CSS Variables 1). Not here: selectors and the cascade, which are the renderer's.
"""

import re
import urllib.parse
from collections.abc import Iterator

from bioicons_pipeline.rendering.result import RefusalReason, Refused
from bioicons_pipeline.rendering.settings import MAX_BYTES

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.S)
_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{1,6})\s?|\\(.)", re.S)
_URL = re.compile(r"""url\(\s*(?:"([^"]*)"|'([^']*)'|([^)]*))\s*\)?""", re.I)
_FETCHING = re.compile(r"(?:-webkit-)?(?:image-set|image|cross-fade|src|expression|attr)\s*\(", re.I)
_FUNCTION = re.compile(r"(light-dark|var)\(", re.I)
_CUSTOM = re.compile(r"(--[\w-]{1,100})\s*:\s*([^;{}]*)")
_AT_STATEMENT = re.compile(r"@(?:import|charset|namespace)\b[^;{}]*;?", re.I)
_SUSPECT = re.compile(r"url\(|var\(|light-dark\(|image|src\(|expression|cross-fade|attr\(|\\|@|/\*|--", re.I)
_PARENTHESIS = re.compile(r"[()]")
_COMMA = re.compile(r"[(,]")


def is_plain(value: str) -> bool:
    """True if nothing in `value` could need cleaning (the fast way out: almost every attribute)."""
    return _SUSPECT.search(value) is None


def _unescape(text: str) -> str:
    """CSS escapes written out, so that `\\75rl(` cannot hide `url(`."""
    if "\\" not in text:
        return text

    def plain(match: re.Match[str]) -> str:
        if match[1]:
            code = int(match[1], 16)
            char = chr(code) if 32 <= code < 0xD800 or 0xE000 <= code < 0x110000 else ""
        else:
            char = match[2]
        return "" if char in "{};\"'<>&\\@" else char

    return _ESCAPE.sub(plain, text)


def safe_url(value: str) -> str | None:
    """`#id` of a same-document reference, or None for everything else."""
    value = value.strip().strip("\"'").strip()
    if "%" in value:  # a fragment is percent-decoded before it is compared with ids
        value = urllib.parse.unquote(value)
    return value if re.fullmatch(r"#[^\s\"'()<>\\]{1,500}", value) else None


def clean_value(value: str, variables: dict[str, str], removed: dict[str, int]) -> str:
    """One property value, or several declarations: functions resolved, foreign `url()`s made `none`."""
    value = _unescape(_COMMENT.sub(" ", value))
    value = _functions(value, variables)

    def local(match: re.Match[str]) -> str:
        target = safe_url(match[1] or match[2] or match[3] or "")
        if target is None:
            _count(removed, "external_reference")
            return "none"
        return f"url({target})"

    value = _URL.sub(local, value)
    if _FETCHING.search(value):
        _count(removed, "external_reference")
        value = _FETCHING.sub("none(", value)
    return value


def _functions(value: str, variables: dict[str, str]) -> str:
    """`var()` and `light-dark()` resolved, outermost first, in one pass: no text is looked at twice.

    A variable whose own value has functions counts as unset: so nothing grows exponentially.
    """
    closing = _closing(value) if _FUNCTION.search(value) else {}
    out: list[str] = []
    size = 0
    ranges = [(0, len(value))]
    while ranges:
        start, end = ranges.pop()
        match = _FUNCTION.search(value, start, end)
        part = value[start : match.start() if match else end]
        if match:
            close = min(closing.get(match.end() - 1, end), end)
            ranges.append((min(close + 1, end), end))
            if match[1].lower() == "light-dark":
                ranges.append(_trimmed(value, match.end(), _comma(value, match.end(), close, closing)))
            else:
                comma = value.find(",", match.end(), close)
                known = variables.get(value[match.end() : close if comma < 0 else comma].strip())
                if known is not None and not _FUNCTION.search(known):
                    part += known
                elif comma >= 0:
                    ranges.append(_trimmed(value, comma + 1, close))
        out.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise Refused(RefusalReason.TOO_COSTLY, "CSS variables grow too long")
    return "".join(out)


def _trimmed(value: str, start: int, end: int) -> tuple[int, int]:
    """The range without white space at its ends."""
    while start < end and value[start].isspace():
        start += 1
    while start < end and value[end - 1].isspace():
        end -= 1
    return start, end


def _closing(value: str) -> dict[int, int]:
    """Index of every `(` -> index of the `)` that closes it; one that nothing closes is left out."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for sign in _PARENTHESIS.finditer(value):
        if sign[0] == "(":
            opened.append(sign.start())
        elif opened:
            found[opened.pop()] = sign.start()
    return found


def _comma(value: str, start: int, end: int, closing: dict[int, int]) -> int:
    """Index of the first comma between the two that is in no parentheses, or `end`."""
    while start < end:
        sign = _COMMA.search(value, start, end)
        if sign is None:
            return end
        if sign[0] == ",":
            return sign.start()
        start = closing.get(sign.start(), end) + 1
    return end


def rules(sheet: str) -> Iterator[tuple[str, str]]:
    """(selectors, declarations) of every rule, also inside at-rules, in one pass over the text."""
    for part in sheet.split("}")[:-1]:
        head, brace, body = part.rpartition("{")
        if brace:
            yield head.rpartition("{")[2], body


def variables(sheets: list[str], root_style: str) -> dict[str, str]:
    """Custom properties set on the root: by its style attribute, `:root`, `svg`, `html` or `*` rules."""
    found: dict[str, str] = {}
    for sheet in sheets:
        if "--" in sheet:
            for selector, body in rules(sheet):
                if re.search(r"(?:^|[\s,;])(?::root|svg|html|\*)\s*(?:,|$)", selector.strip()):
                    found.update((name, value.strip()) for name, value in _CUSTOM.findall(body))
    if "--" in root_style:
        found.update((name, value.strip()) for name, value in _CUSTOM.findall(root_style))
    return {name: value for name, value in found.items() if len(value) <= 200}


def clean_sheet(sheet: str, variables: dict[str, str], removed: dict[str, int]) -> str:
    """A style sheet without at-rules (media that a light screen matches are unwrapped) and foreign urls."""
    sheet = sheet.replace("<!--", " ").replace("-->", " ")
    sheet = _unescape(_COMMENT.sub(" ", sheet))
    for _ in _AT_STATEMENT.findall(sheet):
        _count(removed, "css_at_rule")
    sheet = _AT_STATEMENT.sub(" ", sheet)
    sheet = _blocks(sheet, removed).replace("@", " ")
    return clean_value(sheet, variables, removed)


_AT_BLOCK = re.compile(r"@([\w-]+)([^{};]*)([{;]|(?=\})|\Z)")
_BRACE = re.compile(r"[{}]")


def _blocks(sheet: str, removed: dict[str, int], depth: int = 0) -> str:
    out: list[str] = []
    position = 0
    while match := _AT_BLOCK.search(sheet, position):
        out.append(sheet[position : match.start()])
        name, condition = match[1].lower(), match[2].lower()
        position = match.end()
        if match[3] != "{":
            continue
        body, position = _block_body(sheet, position)
        if name in {"media", "supports", "layer"} and depth < 4 and matches(name, condition):
            out.append(_blocks(body, removed, depth + 1))
        else:
            _count(removed, "font_face" if name == "font-face" else "css_at_rule")
    out.append(sheet[position:])
    return "".join(out)


def _block_body(sheet: str, start: int) -> tuple[str, int]:
    depth = 1
    for brace in _BRACE.finditer(sheet, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return sheet[start : brace.start()], brace.end()
    return sheet[start:], len(sheet)


def matches(name: str, condition: str) -> bool:
    """Whether a light, still, 96 dpi screen matches; anything not understood does not."""
    if name != "media":
        return True
    condition = condition.strip()
    return condition in {"", "all", "screen", "(prefers-color-scheme: light)", "(prefers-color-scheme:light)"}


def _count(removed: dict[str, int], kind: str) -> None:
    removed[kind] = removed.get(kind, 0) + 1
