"""A person signs off a generated icon: reviewer, verdict and date go into its card, in all of its files.

Belongs here: checking the ORCID (https://support.orcid.org/hc/en-us/articles/360006897674, ISO 7064 MOD
11-2) and rewriting the files. Does not belong here: the card (`provenance`), how files carry it (`carriers`).
"""

import datetime
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.generation.carriers import MAX_FILE, embed, read_card
from bioicons_pipeline.generation.provenance import Card, Review

VERDICTS: tuple[str, ...] = get_args(Review.model_fields["verdict"].annotation)
SUFFIXES = (".png", ".svg", ".json")
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4})-?(\d{4})-?(\d{4})-?(\d{3}[\dX])/?", re.ASCII)


class ReviewError(BioiconsError):
    """The sign-off cannot be recorded."""


@dataclass(frozen=True)
class Reviewed:
    """The card after the sign-off, and every file that carries it now."""

    card: Card
    files: tuple[Path, ...]


def check_orcid(text: str) -> str:
    """An ORCID iD in any usual spelling as `https://orcid.org/0000-0000-0000-0000`.

    Raises:
        ReviewError: it is no ORCID iD, or its check digit is wrong.
    """
    found = _ORCID.fullmatch(text.strip().replace("x", "X"))
    if not found:
        raise ReviewError(f"{text[:60]!r} is no ORCID iD: write it like 0000-0002-1825-0097.")
    digits = "".join(found.groups())
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    if digits[-1] != ("X" if check == 10 else str(check)):
        raise ReviewError(f"The ORCID iD {text[:60]!r} has a wrong check digit: look for a typing error.")
    return "https://orcid.org/" + "-".join(found.groups())


def review(
    path: Path, reviewer: str, verdict: str, *, note: str = "", date: datetime.date | None = None
) -> Reviewed:
    """Record a sign-off in the icon's file `path` (.png, .svg, .json) and in those of its name beside it.

    Earlier sign-offs stay. All files are made ready before the first is replaced: a failure before that
    leaves every file as it was. date: default today.

    Raises:
        ReviewError: wrong ORCID or verdict, an unreadable file, or files of one name with different cards.
        ProvenanceError: a file has no card.
    """
    orcid = check_orcid(reviewer)
    if verdict not in VERDICTS:
        raise ReviewError(f"There is no verdict {verdict[:60]!r}: choose one of {', '.join(VERDICTS)}.")
    contents = {place: _read(place) for place in _together(path)}
    card = read_card(contents[path], path.suffix)
    for place, data in contents.items():
        if read_card(data, place.suffix) != card:
            raise ReviewError(f"{place.name} has another card than {path.name}: move one of them elsewhere.")
    day = (date or datetime.date.today()).isoformat()
    try:
        signed = Review(reviewer=orcid, verdict=verdict, date=day, note=note)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise ReviewError("The note is too long: keep it under 20,000 characters.") from error
    card = card.model_copy(update={"reviews": (*card.reviews, signed)})
    _replace({place: embed(data, card, place.suffix) for place, data in contents.items()})
    return Reviewed(card, tuple(contents))


def _together(path: Path) -> list[Path]:
    """The file itself and those beside it that belong to the same icon."""
    if path.suffix.lower() not in SUFFIXES:
        raise ReviewError(f"{path.name} carries no card: give the .png, .svg or .json of a generated icon.")
    if not path.is_file():
        raise ReviewError(f"There is no file {path}: give the .png, .svg or .json of a generated icon.")
    others = [path.with_suffix(suffix) for suffix in SUFFIXES if suffix != path.suffix]
    return [path, *(other for other in others if other.is_file())]


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE:
            raise ReviewError(f"{path.name} is larger than any icon: give another file.")
        return path.read_bytes()
    except OSError as error:
        raise ReviewError(f"{path} cannot be read ({error.strerror}): check its permissions.") from error


def _replace(contents: dict[Path, bytes]) -> None:
    """Write all, then rename all."""
    ready: dict[Path, Path] = {}
    try:
        for path, data in contents.items():
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
            ready[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            ready[path].chmod(path.stat().st_mode & 0o777)
        for path, made in ready.items():
            made.replace(path)
    except OSError as error:
        raise ReviewError(
            f"The sign-off cannot be written ({error.strerror}): free some space or check permissions."
        ) from error
    finally:
        for made in ready.values():
            made.unlink(missing_ok=True)
