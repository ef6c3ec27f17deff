"""The real library, probed once: the renderings are kept in pytest's cache between runs."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from bioicons_pipeline.library.measure import Measured
from bioicons_pipeline.library.measures import measure_all
from bioicons_pipeline.library.records import IconSource, Probe
from bioicons_pipeline.library.source import FetchedTree, fetch


@dataclass(frozen=True)
class State:
    """One upstream state with everything a manifest is made from."""

    tree: FetchedTree
    icons: list[IconSource]
    probes: dict[str, Probe]
    measures: dict[str, Measured]
    authors: bytes


class RealLibrary:
    """States of the sample bundle; `state(tag)` is computed once a session."""

    def __init__(self, bundle: Path, cache: Path) -> None:
        self.bundle, self.cache = bundle, cache
        self.known: dict[tuple, State] = {}

    def state(self, tag: str = "f3f18b86", only: tuple[str, ...] = ()) -> State:
        """The state of a tag; with `only`, the icons whose path contains one of these."""
        from bioicons_pipeline.rendering import RenderCache, probe_many

        if (tag, only) not in self.known:
            tree = fetch(str(self.bundle), f"upstream-{tag}", self.cache / "git")
            paths = [entry.path for entry in tree.entries if entry.path.endswith(".svg")]
            if only:
                paths = [path for path in paths if any(part in path for part in only)]
                data = {path: tree.read(path) for path in paths}
            else:
                data = {path: svg for path, svg in tree.read_all() if path.endswith(".svg")}
            icons = [IconSource(p, hashlib.sha256(svg).hexdigest(), len(svg)) for p, svg in data.items()]
            svgs = {icon.svg_sha256: data[icon.path] for icon in icons}
            probes = {
                result.key: Probe(result.key, result.png, result.svg, result.refusal, result.report)
                for result in probe_many(svgs.items(), cache=RenderCache(self.cache / "renderings"))
            }
            measures = measure_all(icons, probes, self.cache / "measures")
            self.known[(tag, only)] = State(tree, icons, probes, measures, tree.read("authors.json"))
        return self.known[(tag, only)]


@pytest.fixture(scope="session")
def real_library(sample_bundle, request) -> RealLibrary:
    return RealLibrary(sample_bundle, Path(request.config.cache.mkdir("library")))


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "no chromium on this machine: apt-get install chromium"
    return found
