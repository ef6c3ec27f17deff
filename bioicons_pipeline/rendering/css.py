"""Style sheets and style attributes: what a still, offline, light-mode browser would use of them.

Belongs here: text-level cleaning of CSS (no `@import`, no `@font-face`, no `url()` but `#id`), and the two
functions that draw.io exports need: `light-dark(a, b)` becomes a (CSS Color 5) and `var(--x, y)` the value
of `--x` or y (CSS Variables 1). Not here: selectors and the cascade, which are the renderer's.
"""

import re
import urllib.parse

from bioicons_pipeline.rendering.result import RefusalReason, Refused
from bioicons_pipeline.rendering.settings import MAX_STYLE_CHARS

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.S)
_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{1,6})\s?|\\(.)", re.S)
_URL = re.compile(r"""url\(\s*(?:"([^"]*)"|'([^']*)'|([^)]*))\s*\)?""", re.I)
_FETCHING = re.compile(r"(?:-webkit-)?(?:image-set|image|cross-fade|src|expression|attr)\s*\(", re.I)
_FUNCTION = re.compile(r"(light-dark|var)\(", re.I)
_CUSTOM = re.compile(r"(--[\w-]{1,100})\s*:\s*([^;{}]*)")
_AT_STATEMENT = re.compile(r"@(?:import|charset|namespace)\b[^;{}]*(?:;|\Z)", re.I)
_SUSPECT = re.compile(r"url\(|var\(|light-dark\(|image|src\(|expression|cross-fade|attr\(|\\|@|/\*|--", re.I)
_MAX_SUBSTITUTIONS = 20_000


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
    """Resolve `var()` and `light-dark()`, outermost first, a bounded number of times."""
    out: list[str] = []
    position = steps = 0
    while match := _FUNCTION.search(value, position):
        steps += 1
        if steps > _MAX_SUBSTITUTIONS or len(value) > 2 * MAX_STYLE_CHARS:
            raise Refused(RefusalReason.TOO_COSTLY, "too many CSS functions")
        out.append(value[position : match.start()])
        arguments, end = _arguments(value, match.end())
        first, _, rest = arguments.partition(",") if match[1].lower() == "var" else _split(arguments)
        if match[1].lower() == "light-dark":
            chosen = first.strip()
        else:
            known = variables.get(first.strip())
            # A variable's own value is not resolved again beyond its fallback: no exponential growth.
            chosen = known if known is not None and not _FUNCTION.search(known) else rest.strip()
        if _FUNCTION.search(chosen) and len(chosen) < end - match.start():
            value = chosen + value[end:]  # strictly shorter than before, so this ends
            position = 0
        else:
            out.append(chosen)
            position = end
    out.append(value[position:])
    return "".join(out)


def _arguments(value: str, start: int) -> tuple[str, int]:
    """The text up to the matching `)` and the index after it."""
    depth = 1
    for index in range(start, len(value)):
        if value[index] == "(":
            depth += 1
        elif value[index] == ")":
            depth -= 1
            if depth == 0:
                return value[start:index], index + 1
    return value[start:], len(value)


def _split(arguments: str) -> tuple[str, str, str]:
    """Like `partition(",")`, but not inside parentheses."""
    depth = 0
    for index, char in enumerate(arguments):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            return arguments[:index], ",", arguments[index + 1 :]
    return arguments, "", ""


def variables(sheets: list[str], root_style: str) -> dict[str, str]:
    """Custom properties set on the root: by its style attribute, `:root`, `svg`, `html` or `*` rules."""
    found: dict[str, str] = {}
    for sheet in sheets:
        if "--" in sheet:
            for selector, body in re.findall(r"([^{}]*)\{([^{}]*)\}", sheet):
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


_AT_BLOCK = re.compile(r"@([\w-]+)([^{};]*)([{;]|\Z)")


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
        if name in {"media", "supports", "layer"} and depth < 4 and _matches(name, condition):
            out.append(_blocks(body, removed, depth + 1))
        else:
            _count(removed, "font_face" if name == "font-face" else "css_at_rule")
    out.append(sheet[position:])
    return "".join(out)


def _block_body(sheet: str, start: int) -> tuple[str, int]:
    depth = 1
    for brace in re.finditer(r"[{}]", sheet[start:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return sheet[start : start + brace.start()], start + brace.end()
    return sheet[start:], len(sheet)


def _matches(name: str, condition: str) -> bool:
    """Whether a light, still, 96 dpi screen matches; anything not understood does not."""
    if name != "media":
        return True
    condition = condition.strip()
    return condition in {"", "all", "screen", "(prefers-color-scheme: light)", "(prefers-color-scheme:light)"}


def _count(removed: dict[str, int], kind: str) -> None:
    removed[kind] = removed.get(kind, 0) + 1
