"""The one table of licences: SPDX id, folder, address, obligations, and which preset allows it.

Belongs here: what a licence is and asks for, and the presets. Does not belong here: deciding on single
icons (`manifest`), evidence that a folder is wrong (`audit`), writing credits (`credits`).

Ids follow https://spdx.org/licenses/; obligations are those of the licences' own texts, in plain words. The
upstream `bsd` folder's text has three clauses: BSD-3-Clause.
"""

from dataclasses import dataclass
from enum import IntEnum

from bioicons_pipeline.errors import BioiconsError


class LicenceError(BioiconsError):
    """A preset or licence that does not exist was asked for."""


class Strictness(IntEnum):
    """How much a licence asks; a drawing that comes from two licences is under the larger."""

    PUBLIC_DOMAIN = 0
    NOTICE = 1
    ATTRIBUTION = 2
    SHARE_ALIKE = 3
    UNKNOWN = 4


@dataclass(frozen=True)
class Licence:
    """One row of the table. `folder` is upstream's name for it; `obligations` are short phrases."""

    spdx: str
    name: str
    folder: str
    url: str
    strictness: Strictness
    obligations: tuple[str, ...]

    @property
    def rank(self) -> tuple[int, str]:
        """Order of strictness; ties (two versions, MIT and BSD) by id."""
        return (int(self.strictness), self.spdx)


_CREDIT = ("name the author", "link the licence", "link the source", "state the changes")
_NOTICE = ("keep the copyright notice and the licence text",)
_CC = "https://creativecommons.org"

_ALIKE = (*_CREDIT, "share adaptations under the same licence")
_OSI = "https://opensource.org/license"

TABLE: tuple[Licence, ...] = (
    Licence(
        "CC0-1.0", "CC0 1.0 Universal", "cc-0", f"{_CC}/publicdomain/zero/1.0/", Strictness.PUBLIC_DOMAIN, ()
    ),
    Licence("MIT", "MIT License", "mit", f"{_OSI}/mit", Strictness.NOTICE, _NOTICE),
    Licence(
        "BSD-3-Clause",
        "BSD 3-Clause License",
        "bsd",
        f"{_OSI}/bsd-3-clause",
        Strictness.NOTICE,
        (*_NOTICE, "no endorsement with the authors' names"),
    ),
    *(
        Licence(
            f"CC-BY-{version}",
            f"CC BY {version}",
            f"cc-by-{version}",
            f"{_CC}/licenses/by/{version}/",
            Strictness.ATTRIBUTION,
            _CREDIT,
        )
        for version in ("3.0", "4.0")
    ),
    *(
        Licence(
            f"CC-BY-SA-{version}",
            f"CC BY-SA {version}",
            f"cc-by-sa-{version}",
            f"{_CC}/licenses/by-sa/{version}/",
            Strictness.SHARE_ALIKE,
            _ALIKE,
        )
        for version in ("3.0", "4.0")
    ),
)

BY_SPDX = {licence.spdx: licence for licence in TABLE}
BY_FOLDER = {licence.folder: licence for licence in TABLE}

PRESETS: dict[str, frozenset[str]] = {
    "public-domain": frozenset({"CC0-1.0"}),
    "permissive": frozenset({"CC0-1.0", "MIT", "BSD-3-Clause"}),
    "attribution": frozenset({"CC0-1.0", "MIT", "BSD-3-Clause", "CC-BY-3.0", "CC-BY-4.0"}),
    "share-alike": frozenset(BY_SPDX),
}
"""Preset -> SPDX ids that it allows; each contains the one before."""


@dataclass(frozen=True)
class LicencePolicy:
    """What may be trained on: a preset's name and its SPDX ids."""

    preset: str
    allowed: frozenset[str]

    def allows(self, spdx: object) -> bool:
        """Whether an icon under `spdx` may be used; unknown, missing or not a string is never allowed."""
        return isinstance(spdx, str) and spdx in self.allowed and spdx in BY_SPDX


def policy_for(preset: str) -> LicencePolicy:
    """The policy of a preset.

    Raises:
        LicenceError: there is no such preset.
    """
    if preset not in PRESETS:
        raise LicenceError(f"There is no licence preset {preset!r}: choose one of {', '.join(PRESETS)}.")
    return LicencePolicy(preset, PRESETS[preset])


def licence_of_folder(folder: str) -> Licence | None:
    """The licence that an upstream folder stands for; None for `None/` and any folder not in the table."""
    return BY_FOLDER.get(folder)


def stricter(first: Licence | None, second: Licence | None) -> Licence | None:
    """The licence that asks more; an unknown one (None) asks more than any."""
    if first is None or second is None:
        return None
    return max(first, second, key=lambda licence: licence.rank)
