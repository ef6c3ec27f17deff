"""Fetches the icon sets from the npm registry and renders them with the project's own rendering room.

Belongs here: packages → (name, PNG). Does not belong here: captions (captions) and which sets (sets). The
result is one NumPy file of pixels and one JSON of names, made once, complete or absent.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bioicons_pipeline.training.cache import write_json
from bioicons_pipeline.training.encoders import PhaseProgress
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.pretrain.colouring import painted, turned
from bioicons_pipeline.training.pretrain.sets import (
    SOURCES,
    IconSetSource,
    manner,
    of_interface,
    stem,
    wanted,
    words,
)
from bioicons_pipeline.whole import replace_whole

FORMAT = 1
_LARGEST_PACKAGE = 200 * 2**20


@dataclass(frozen=True)
class BaseIcon:
    """One icon of a set. `heldout` icons are never trained on, by the autoencoder or the transformer."""

    key: str
    """`<set>/<name>`."""
    words: tuple[str, ...]

    @property
    def source(self) -> str:
        """Name of the set."""
        return self.key.partition("/")[0]

    @property
    def heldout(self) -> bool:
        """One icon in forty, by a hash of its key, so that adding a set moves none."""
        return hashlib.sha256(self.key.encode()).digest()[0] % 40 == 0


@dataclass(frozen=True)
class BaseIcons:
    """All icons with their pixels, (N, size, size, 3) uint8 on white, in order of key."""

    icons: tuple[BaseIcon, ...]
    pixels: np.ndarray
    licences: dict[str, dict[str, Any]]
    """Per set: SPDX id, author, link, version, number of icons."""

    def split(self, heldout: bool) -> np.ndarray:
        """Positions of the icons of one split."""
        return np.array([index for index, icon in enumerate(self.icons) if icon.heldout is heldout])

    def with_others(self, others: BaseIcons) -> BaseIcons:
        """These, and after them `others`; in memory."""
        return BaseIcons(
            self.icons + others.icons,
            np.concatenate([self.pixels, others.pixels]),
            {**self.licences, **others.licences},
        )


def load_icons(
    work: Path, size: int, *, sources: Sequence[IconSetSource] = SOURCES, progress: PhaseProgress
) -> BaseIcons:
    """The rendered sets, from `work` where they are there already.

    Raises:
        TrainingError: npm is missing, the registry does not answer, or a package is not what was pinned.
    """
    tag = hashlib.sha256(repr((FORMAT, size, tuple(sources))).encode()).hexdigest()[:12]
    listing, arrays = work / f"icons-{tag}.json", work / f"icons-{tag}.npy"
    if not listing.is_file():
        _render(work, size, sources, listing, arrays, progress)
    described = json.loads(listing.read_bytes())
    pixels = np.load(arrays, mmap_mode="r")
    icons = tuple(BaseIcon(key, found) for key, found in _words(described["icons"]).items())
    if len(icons) != len(pixels):
        raise TrainingError(f"{listing} and {arrays} do not belong together: delete both and run again.")
    return BaseIcons(icons, pixels, described["licences"])


def _words(keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Words of every icon; names written together are split with the words of those that are not."""
    names = {key: stem(key) for key in keys}
    seen = Counter(word for key, name in names.items() if "-" in name for word in words(name))
    known = frozenset(word for word, count in seen.items() if count >= 2 and len(word) > 1)
    return {key: words(name, known) for key, name in names.items()}


def _render(
    work: Path,
    size: int,
    sources: Sequence[IconSetSource],
    listing: Path,
    arrays: Path,
    progress: PhaseProgress,
) -> None:
    from bioicons_pipeline.rendering import RenderSettings, render_many

    work.mkdir(parents=True, exist_ok=True)
    svgs: list[tuple[str, bytes]] = []
    licences: dict[str, dict[str, Any]] = {}
    for number, source in enumerate(sources):
        progress("fetching icon sets", number, len(sources))
        found = list(read_package(fetch(source, work / "npm"), source))
        licences[source.name] = {**asdict(source), "icons": 0}
        svgs += found
    icons, pixels = [], []
    turning = {source.name for source in sources if source.turned}
    results = render_many(sorted(svgs), RenderSettings(size=size))
    for done, result in enumerate(results, start=1):
        progress("rendering icons", done, len(svgs))
        if result.png is None:
            continue
        with Image.open(io.BytesIO(result.png)) as picture:
            pixels.append(np.asarray(picture.convert("RGB")))
        set_name = result.key.partition("/")[0]
        if set_name in turning:
            pixels[-1] = turned(pixels[-1], result.key)
        licences[set_name]["icons"] += 1
        icons.append(result.key)
    buffer = io.BytesIO()
    np.save(buffer, np.stack(pixels))
    replace_whole(arrays, buffer.getvalue())
    write_json(listing, {"icons": icons, "licences": licences, "size": size})


def fetch(source: IconSetSource, folder: Path) -> Path:
    """The package's tarball in `folder`, by `npm pack`; fetched once."""
    target = folder / f"{source.name}-{source.version}.tgz"
    if target.is_file():
        return target
    if shutil.which("npm") is None:
        raise TrainingError(
            "npm is not installed: it is needed to fetch the icon sets that flux-nano learns from."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        done = subprocess.run(
            ["npm", "pack", source.package, "--silent", "--ignore-scripts"],
            cwd=scratch, capture_output=True, text=True, timeout=600, env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        found = list(Path(scratch).glob("*.tgz"))
        if done.returncode or len(found) != 1:
            reason = (done.stderr or done.stdout).strip().splitlines()[:1]
            raise TrainingError(
                f"npm could not fetch {source.package} ({' '.join(reason)}): try again online."
            )
        found[0].replace(target)
    return target


def read_package(tarball: Path, source: IconSetSource) -> Iterator[tuple[str, bytes]]:
    """(key, SVG) of the wanted icons of a package; nothing is unpacked to disk.

    Raises:
        TrainingError: the package declares another licence than the one in the table, or cannot be read.
    """
    with tarfile.open(tarball) as archive:
        data = _member(archive, "package/icons.json", tarball)
        info = _member(archive, "package/info.json", tarball)
    declared = info.get("license", {}).get("spdx")
    if declared != source.spdx:
        raise TrainingError(
            f"{source.package} declares the licence {declared}, not {source.spdx}: look before using it."
        )
    width, height = data.get("width", 16), data.get("height", 16)
    for name, icon in sorted(data["icons"].items()):
        if _taken(source, name) and not icon.get("hidden"):
            key = f"{source.name}/{name}"
            left, top = icon.get("left", 0), icon.get("top", 0)
            box = f"{left} {top} {icon.get('width', width)} {icon.get('height', height)}"
            body = painted(icon["body"], source.colours, key)
            yield (
                key,
                (
                    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                    f'viewBox="{box}">{body}</svg>'
                ).encode(),
            )


def _taken(source: IconSetSource, name: str) -> bool:
    drawn = manner(source, name)
    # the first sets are emoji, where what these words keep out is not found
    return drawn is not None and wanted(drawn[1]) and not (source.painted and of_interface(drawn[1]))


def _member(archive: tarfile.TarFile, name: str, tarball: Path) -> dict[str, Any]:
    try:
        member = archive.getmember(name)
        file = archive.extractfile(member)
        if file is None or member.size > _LARGEST_PACKAGE:
            raise KeyError(name)
        return json.loads(file.read())
    except (KeyError, ValueError) as error:
        raise TrainingError(f"{tarball} is no iconify package ({name}): delete it and run again.") from error
