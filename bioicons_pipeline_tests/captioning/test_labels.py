"""The labelled set: how many captions name the right subject.

`data/labelled_150.csv` was made by looking at contact sheets. Sampling rule: of the icons of the sample at
tag upstream-f3f18b86 that render, sorted by the SHA-256 of their path below `static/icons`, the first 150.
`seen` was noted from the picture without its name; `right` lists the words that name the subject, where
`decided_by` says whether the picture sufficed or (cell types, symbols) the name was needed.
"""

import csv
import hashlib
import re
from pathlib import Path

import pytest

from bioicons_pipeline.captioning import caption_icon

ROWS = list(csv.DictReader((Path(__file__).parent / "data" / "labelled_150.csv").open(encoding="utf-8")))


def names_the_subject(text: str, right: str) -> bool:
    """Whether one of the `|`-separated alternatives stands in `text` as whole words."""
    return any(
        re.search(rf"(?<!\w){re.escape(words.casefold())}(?!\w)", text.casefold())
        for words in right.split("|")
    )


def test_at_least_nine_in_ten_captions_name_the_right_subject():
    wrong = []
    for row in ROWS:
        parts = row["source_path"].split("/")
        made = caption_icon(parts[-1], parts[1], author=parts[2])
        # The subject and Latin name only: a category ("receptors and channels") must not help.
        if not names_the_subject(f"{made.subject} {made.latin or ''}", row["right"]):
            wrong.append((row["source_path"], made.subject))
    share = 1 - len(wrong) / len(ROWS)
    print(f"right subject: {share:.1%} of {len(ROWS)}")
    assert share >= 0.9, wrong


def test_a_wrong_subject_counts_as_wrong():
    assert not names_the_subject("a spleen", "liver")
    assert not names_the_subject("an antibody", "body")
    assert names_the_subject("petri dish with colonies", "colony|colonies")


@pytest.mark.bundle
def test_the_sample_follows_its_rule(sample_repo):
    root = sample_repo / "static" / "icons"
    paths = sorted(
        (path.relative_to(root).as_posix() for path in root.rglob("*.svg")),
        key=lambda path: hashlib.sha256(path.encode()).hexdigest(),
    )
    labelled = [row["source_path"] for row in ROWS]
    assert len(labelled) == 150 == len(set(labelled))
    first = paths[: 150 + len(set(paths[:155]) - set(labelled))]
    assert [path for path in first if path in set(labelled)] == labelled
    assert len(set(first) - set(labelled)) <= 5  # what does not render
