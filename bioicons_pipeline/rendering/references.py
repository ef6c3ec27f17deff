"""The graph of `href="#id"` and `url(#id)`: cut its cycles, and price it before a renderer walks it.

Belongs here: what makes `use`, pattern, mask, clip, filter and marker bombs: references that fan out or
chain. A renderer draws a referenced subtree again for each reference, so the price of an element is its
own, its children's and its references' prices; the sum for the root is what a renderer will draw.
"""

import re
from dataclasses import dataclass, field

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

from bioicons_pipeline.rendering import css
from bioicons_pipeline.rendering.names import SVG, local_name
from bioicons_pipeline.rendering.result import RefusalReason, Refused
from bioicons_pipeline.rendering.settings import MAX_COST, MAX_FILTER_PRIMITIVES, MAX_REFERENCE_DEPTH

_URL_ID = re.compile(r"url\(\s*[\"']?#([^\s\"')]+)")
_HASH_ID = re.compile(r"#([^\s#.,:;>+~{}()\[\]\"']+)")
_SIMPLE_SELECTOR = re.compile(r"^(?:([\w-]+|\*))?(?:([.#])([\w-]+))?$")
_VERTEX = re.compile(r"[MLHVCSQTAmlhvcsqta]")
_NUMBER_PAIR = re.compile(r"(?<![\d.])[\d.]+[\s,]+[-\d.]")
# Drawn only where they are referenced.
_TEMPLATES = {"defs", "symbol", "pattern", "mask", "clipPath", "marker", "filter", "linearGradient"}
_TEMPLATES |= {"radialGradient"}


@dataclass(slots=True)
class _Price:
    cost: int = 0
    depth: int = 0  # of references


@dataclass(slots=True)
class _SheetUrls:
    """Which ids style sheets make elements refer to, by class, id and type."""

    by_class: dict[str, list[str]] = field(default_factory=dict)
    by_id: dict[str, list[str]] = field(default_factory=dict)
    by_type: dict[str, list[str]] = field(default_factory=dict)

    def add(self, sheet: str) -> None:
        for selectors, body in css.rules(sheet):
            targets = _URL_ID.findall(body)
            if not targets:
                continue
            for selector in selectors.split(","):
                last = re.split(r"[\s>+~]+", selector.strip())[-1]
                match = _SIMPLE_SELECTOR.match(re.sub(r"[:\[].*", "", last))
                if match is None or not match[3]:
                    self.by_type.setdefault((match and match[1]) or "*", []).extend(targets)
                elif match[2] == ".":
                    self.by_class.setdefault(match[3], []).extend(targets)
                else:
                    self.by_id.setdefault(match[3], []).extend(targets)

    def of(self, element: etree._Element) -> list[str]:
        found: list[str] = []
        if self.by_class and (classes := element.get("class")):
            for name in classes.split():
                found += self.by_class.get(name, ())
        if self.by_id and (name := element.get("id")):
            found += self.by_id.get(name, ())
        if self.by_type:
            found += self.by_type.get(local_name(element), ())
            found += self.by_type.get("*", ())
        return found


def _vertices(element: etree._Element) -> int:
    """About how many markers a path may carry."""
    path = element.get("d") or ""
    points = element.get("points") or ""
    return max(2, len(_VERTEX.findall(path)), len(_NUMBER_PAIR.findall(path + points)))


class ReferenceGraph:
    """Prices of all elements of one document. `check()` raises `Refused`, or cuts cycles and returns."""

    def __init__(self, root: etree._Element, removed: dict[str, int]):
        self.root = root
        self.removed = removed
        self.ids: dict[str, list[etree._Element]] = {}
        self.sheets = _SheetUrls()
        self.references = 0
        styled: set[str] = set()
        for element in root.iter(f"{{{SVG}}}style"):
            self.sheets.add(element.text or "")
            styled.update(_HASH_ID.findall(element.text or ""))
        for element in root.iter():
            if (name := element.get("id")) is not None:
                self._name(element, name, name in styled)

    def _name(self, element: etree._Element, name: str, styled: bool) -> None:
        """A reference means the first element of that id (DOM, getElementById), but renderers take the last.

        So later ones lose it, unless a style sheet needs it: then a reference is priced as one to all.
        """
        if name in self.ids and not styled:
            del element.attrib["id"]
        else:
            self.ids.setdefault(name, []).append(element)

    def edges(self, element: etree._Element) -> list[tuple[str | None, etree._Element, int]]:
        """(attribute that refers or None for a style sheet, target, how often it is drawn)."""
        found: list[tuple[str | None, etree._Element, int]] = []
        for name, value in element.attrib.items():
            if name == "href":
                if value.startswith("#"):
                    found += [(name, target, 1) for target in self.ids.get(value[1:], ())]
            elif "url(" in value:
                for identifier in _URL_ID.findall(value):
                    found += self._to(name, identifier, element)
        for identifier in dict.fromkeys(self.sheets.of(element)):
            found += self._to(None, identifier, element)
        self.references += len(found)
        if self.references > MAX_COST:
            raise Refused(RefusalReason.TOO_COSTLY, f"over {MAX_COST} references")
        return found

    def _to(
        self, attribute: str | None, identifier: str, element: etree._Element
    ) -> list[tuple[str | None, etree._Element, int]]:
        targets = self.ids.get(identifier, ())
        return [(attribute, target, self._times(element, target)) for target in targets]

    @staticmethod
    def _times(element: etree._Element, target: etree._Element) -> int:
        return _vertices(element) if local_name(target) == "marker" else 1

    def check(self) -> int:
        """The price of the whole document, at most MAX_COST."""
        prices: dict[etree._Element, _Price] = {}
        for element in list(self.root.iter()):
            if element not in prices:
                self._visit(element, prices)
        cost = prices[self.root].cost
        if cost > MAX_COST:
            raise Refused(
                RefusalReason.TOO_COSTLY, f"draws {min(cost, 10**15)} elements, {MAX_COST} are allowed"
            )
        return cost

    def _visit(self, start: etree._Element, prices: dict[etree._Element, _Price]) -> None:
        """Depth-first without recursion; an element on the stack that is met again closes a cycle."""
        open_elements = {start}
        stack = [(start, self._steps(start), _Price(cost=1))]
        pending: list[tuple | None] = [None]  # for each level: the step that waits for its target's price
        while stack:
            element, steps, price = stack[-1]
            step = pending[-1] or next(steps, None)
            pending[-1] = None
            if step is None:
                stack.pop()
                pending.pop()
                open_elements.discard(element)
                prices[element] = price
                continue
            attribute, target, times = step
            if target in open_elements:
                self._cut(element, attribute)
            elif target in prices:
                self._add(price, prices[target], attribute, times, target, element)
            else:
                pending[-1] = step
                open_elements.add(target)
                stack.append((target, self._steps(target), _Price(cost=1)))
                pending.append(None)

    def _steps(self, element: etree._Element):
        for child in element:
            if isinstance(child.tag, str):
                yield "", child, 1
        yield from self.edges(element)

    @staticmethod
    def _add(
        price: _Price,
        target: _Price,
        attribute: str | None,
        times: int,
        target_element: etree._Element,
        element: etree._Element,
    ) -> None:
        if attribute == "":  # a child
            drawn = local_name(target_element) not in _TEMPLATES or local_name(element) in _TEMPLATES
            price.cost += target.cost if drawn else 1
            price.depth = max(price.depth, target.depth)
        else:
            price.cost += target.cost * times
            price.depth = max(price.depth, target.depth + 1)
        if price.depth > MAX_REFERENCE_DEPTH:
            raise Refused(RefusalReason.TOO_DEEP, f"references chain over {MAX_REFERENCE_DEPTH} levels")

    def _cut(self, element: etree._Element, attribute: str | None) -> None:
        if attribute and attribute in element.attrib:
            del element.attrib[attribute]
        self.removed["circular_reference"] = self.removed.get("circular_reference", 0) + 1


def check_filters(root: etree._Element) -> None:
    """Refuse absurd filters: each primitive is a pass over the whole picture."""
    primitives = sum(1 for element in root.iter() if local_name(element).startswith("fe"))
    if primitives > MAX_FILTER_PRIMITIVES:
        raise Refused(
            RefusalReason.TOO_COSTLY, f"{primitives} filter primitives, {MAX_FILTER_PRIMITIVES} allowed"
        )
