"""The two renderers behind one call: a region of a normalised SVG to a PNG.

Belongs here: everything that touches resvg (PyPI `resvg`, which parses once and then draws any region at
any scale) and cairosvg. Not here: which region, which of the two, and what is done with the pixels.
"""

import re
from collections.abc import Callable
from typing import Any

from bioicons_pipeline.rendering.fonts import families, font_files
from bioicons_pipeline.rendering.normalise import Normalised
from bioicons_pipeline.rendering.result import RefusalReason, Refused

Region = Callable[[float, float, float, int, int], bytes]
"""`draw(x, y, scale, width, height)`: PNG (RGBA, transparent ground) of `width` x `height` px whose top left
is the point (x, y) of the SVG in natural px, at `scale` px per natural px."""

# Families that a browser on Linux takes for one another (fontconfig's metric aliases) and the generic ones.
_STAND_INS = {
    "sans": {"arial", "arialmt", "helvetica", "sans-serif", "sans", "system-ui", "ui-sans-serif"},
    "serif": {"times", "times new roman", "timesnewromanpsmt", "serif", "ui-serif"},
    "mono": {"courier", "courier new", "couriernew", "monospace", "ui-monospace"},
}


def _pick(asked: str, known: dict[str, str]) -> str:
    """The first family of a CSS list that is there, or has a stand-in; else serif, as in browsers."""
    for name in asked.replace("&quot;", '"').replace("&apos;", "'").split(","):
        name = name.strip().strip("\"'").strip().lower()
        for kind, family in known.items():
            if name in _STAND_INS[kind] or name == family.lower():
                return family
    return known["serif"]


def with_fonts(svg: str, known: dict[str, str] | None) -> str:
    """The SVG with every font-family replaced by one that is there; only for drawing, never kept."""
    if known is None:
        return svg

    def attribute(match: re.Match[str]) -> str:
        return f'font-family="{_pick(match[1], known)}"'

    def declaration(match: re.Match[str]) -> str:
        return f"font-family:{_pick(match[1], known)}"

    svg = re.sub(r'(?<![-\w])font-family="([^"]*)"', attribute, svg)
    svg = re.sub(r"(?<![-\w])font-family\s*:\s*((?:&quot;|[^;\"<>{}])*)", declaration, svg)
    return (
        svg.replace("<svg ", f'<svg font-family="{known["serif"]}" ', 1)
        if "font-family=" not in (svg[: svg.find(">")])
        else svg
    )


class Resvg:
    """resvg with the font set loaded once; `open` parses one SVG."""

    name = "resvg"

    def __init__(self, *, fonts: bool = True):
        import resvg
        from resvg import usvg

        self._render: Any = resvg.render
        self._parse: Any = usvg.Tree.from_str
        self._options: Any = usvg.Options.default()
        self._options.dpi = 96.0
        files = font_files() if fonts else ()
        self._families = families(files)
        for file in files:
            self._options.load_font_data(file.read_bytes())
        if self._families:
            self._options.font_family = self._families["serif"]

    def open(self, icon: Normalised) -> Region:
        """Raises `Refused(RENDERER_REFUSED)`."""
        svg = with_fonts(icon.svg, self._families) if icon.has_text else icon.svg
        try:
            tree = self._parse(svg, self._options)
        except BaseException as error:
            raise _refused(error) from error

        def draw(x: float, y: float, scale: float, width: int, height: int) -> bytes:
            transform = (scale, 0.0, -x * scale, 0.0, scale, -y * scale)  # row by row
            try:
                return bytes(self._render(tree, transform, bg_size=(width, height)))
            except BaseException as error:
                raise _refused(error) from error

        return draw


def _refused(error: BaseException) -> Refused:
    """resvg's errors, and its panics, which pyo3 raises as a BaseException: neither harms the next icon.

    Anything else (no memory, an interrupt) is raised on.
    """
    if isinstance(error, MemoryError):
        raise error
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    return Refused(RefusalReason.RENDERER_REFUSED, f"resvg: {str(error)[:200]}")


def _no_fetching(url: str, resource_type: str) -> bytes:
    """cairosvg's only way out: data URIs, and nothing else."""
    from bioicons_pipeline.rendering.images import decode_data_uri

    data = decode_data_uri(url)
    if data is None:
        raise ValueError("external references are not followed")
    return data


class Cairo:
    """cairosvg, offline; the whole SVG is parsed again for every region."""

    name = "cairosvg"

    def __init__(self) -> None:
        from cairosvg.surface import PNGSurface

        self._svg2png: Any = PNGSurface.convert

    def open(self, icon: Normalised) -> Region:
        """Never raises; `draw` raises `Refused(RENDERER_REFUSED)`."""

        def draw(x: float, y: float, scale: float, width: int, height: int) -> bytes:
            outer = (
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                f'viewBox="{x:.9g} {y:.9g} {width / scale:.9g} {height / scale:.9g}">{icon.svg}</svg>'
            )
            try:
                return self._svg2png(
                    bytestring=outer.encode(),
                    output_width=width,
                    output_height=height,
                    url_fetcher=_no_fetching,
                )
            except Exception as error:
                detail = f"cairosvg: {type(error).__name__} {str(error)[:160]}"
                raise Refused(RefusalReason.RENDERER_REFUSED, detail) from error

        return draw
