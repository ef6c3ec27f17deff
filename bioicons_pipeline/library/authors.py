"""Who drew an icon: folder names become names, spellings of one person become one, pages are looked up.

Belongs here: normalising author names, the table of aliases, addresses from upstream's `authors.json`. Does
not belong here: how the credit is worded (`credits`).

Upstream writes a space as `_` or `-` and other signs as `--`; a name is therefore matched by its letters and
digits alone, in Unicode NFC, and shown in one canonical spelling.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

ALIASES: Mapping[str, str] = {
    "ewaoz": "Ewa Oz",
    "fangfangyang": "Fang-fang Yang",
    "bgideonbergheim": "B. Gideon Bergheim",
    "chenxinli": "Chenxin Li",
    "kehan": "KeHan",
    "heliase11": "Helicase 11",
    "modifiedfromservier": "Servier (modified)",
    "davideccleswgringerw": "David Eccles (gringer)",
    "davidecclesgringer": "David Eccles (gringer)",
    "jamesafellowsyates": "James A. Fellows Yates",
    "phewels": "Phil Ewels",
}
"""Match key -> the one name shown. Only spellings seen upstream that are plainly one person."""


@lru_cache(maxsize=8192)
def match_key(name: str) -> str:
    """Letters and digits of `name`, NFC and case-folded: what two spellings of one person share."""
    return "".join(char for char in unicodedata.normalize("NFC", name).casefold() if char.isalnum())


@lru_cache(maxsize=8192)
def author_name(folder: str | None) -> str | None:
    """The name of the author whose folder this is; None without one.

    A name in our own alias table is shown as it stands there; in others `_` becomes a space, and a hyphen
    too when the name has no space and starts its parts with capitals (`Emily-Daniel`, but not `dbs-sticky`).
    """
    if folder is None:
        return None
    name = re.sub(r"\s+", " ", unicodedata.normalize("NFC", folder).replace("_", " ")).strip()
    if not match_key(name):
        return None
    if alias := ALIASES.get(match_key(name)):
        return alias
    name = re.sub(r"--+$", "", name)
    if " " not in name and re.fullmatch(r"[^\W\d_]+\.?(?:-+&?-*[^\W\d_]+)+", name.replace("&", "")):
        parts = [part for part in re.split(r"-+", name) if part]
        if all(part[0].isupper() or part == "&" for part in parts) or (
            len(parts) > 2 and parts[0][0].isupper()
        ):
            name = " ".join(parts)
    return name or None


def read_authors(data: bytes | None) -> dict[str, str]:
    """Upstream's `authors.json` as name -> address; unreadable or missing gives an empty table."""
    try:
        table = json.loads((data or b"{}").decode("utf-8-sig"))
    except ValueError:
        return {}
    if not isinstance(table, dict):
        return {}
    return {name: url for name, url in table.items() if isinstance(url, str)}


def author_urls(authors: Mapping[str, str]) -> dict[str, str]:
    """Match key -> web address, http(s) only; names without one are left out.

    Aliases share their address: `Ewa-Oz` and `EwaOz` have it, so `ewaoz` has it too.
    """
    urls = {}
    for name, url in sorted(authors.items()):
        scheme, colon, rest = url.strip().partition(":")
        address = f"{scheme.lower()}{colon}{rest}"  # "Https://…" is what a phone makes of it
        shown = author_name(name)
        if shown and _is_web(address):
            urls.setdefault(match_key(shown), address)
    return urls


def _is_web(address: str) -> bool:
    if any(char.isspace() or not char.isprintable() or char in "<>\"'`" for char in address):
        return False
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and "." in str(parts.hostname)
    except ValueError:
        return False
