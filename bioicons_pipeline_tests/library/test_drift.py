"""How far a set of icons has moved, and from where on that is far enough."""

import pandas as pd
import pytest

from bioicons_pipeline.library.drift import Drift, Thresholds, TrainingIcon, drift_between
from bioicons_pipeline.library.records import ExclusionReason


def icons(count: int) -> dict[str, TrainingIcon]:
    return {
        f"id{n}": TrainingIcon(f"sha{n}", "CC-BY-4.0", f"icon {n}", 64, f"icon_{n}") for n in range(count)
    }


def manifest(rows: dict[str, TrainingIcon], **reasons: ExclusionReason) -> pd.DataFrame:
    """The library's, of `rows`; reasons: icon_id → why it is left out."""
    columns = ("icon_id", "sha256", "spdx", "included", "exclusion_reason")
    listed = [
        (icon, row.sha256, row.spdx, icon not in reasons, str(reasons[icon]) if icon in reasons else None)
        for icon, row in rows.items()
    ]
    return pd.DataFrame(listed, columns=columns)


KNOWN = icons(20)


def changed(icon: TrainingIcon, **fields) -> TrainingIcon:
    return TrainingIcon(**{**vars(icon), **fields})


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (KNOWN, Drift(of=20)),
        (icons(21), Drift(added=1, of=20)),
        (icons(19), Drift(gone=1, withdrawn={"icon_19": "deleted upstream"}, of=20)),
        ({**icons(19), "other path": KNOWN["id19"]}, Drift(renamed=1, of=20)),
        ({**KNOWN, "id3": changed(KNOWN["id3"], sha256="redrawn")}, Drift(changed=1, of=20)),
        ({**KNOWN, "id3": changed(KNOWN["id3"], caption="other words")}, Drift(changed=1, of=20)),
        ({**KNOWN, "id3": changed(KNOWN["id3"], side=128)}, Drift(changed=1, of=20)),
    ],
)
def test_what_is_counted(present, expected):
    assert drift_between(KNOWN, present, manifest(present)) == expected


def test_two_copies_and_one_that_goes_are_one_icon_gone():
    twins = {"a": KNOWN["id0"], "b": KNOWN["id0"]}
    assert drift_between(twins, {"c": KNOWN["id0"]}, manifest(twins)) == Drift(gone=1, renamed=1, of=2)


def test_licence_reasons():
    now = icons(20)
    unlicensed = drift_between(KNOWN, icons(19), manifest(now, id19=ExclusionReason.UNLICENSED))
    assert unlicensed.withdrawn == {"icon_19": "left out now (unlicensed)"}
    blank = drift_between(KNOWN, icons(19), manifest(now, id19=ExclusionReason.BLANK))
    assert blank.withdrawn == {} and blank.gone == 1
    taste = drift_between(KNOWN, icons(19), manifest(now, id19=ExclusionReason.DROPPED_BY_CURATOR))
    assert taste.withdrawn == {} and taste.gone == 1
    rights = drift_between(KNOWN, icons(19), manifest(now, id19=ExclusionReason.WITHDRAWN_BY_CURATOR))
    assert rights.withdrawn == {"icon_19": "left out now (withdrawn_by_curator)"}
    # Deleted at its own path, and the same drawing is there, in another category: it may be used.
    copy = drift_between(KNOWN, icons(19), manifest({**icons(19), "copy": KNOWN["id19"]}))
    assert copy.withdrawn == {} and copy.gone == 1
    # Moved to another licence folder: another path, the same drawing.
    moved = {**icons(19), "moved": changed(KNOWN["id19"], spdx="CC-BY-SA-4.0")}
    out = drift_between(KNOWN, icons(19), manifest(moved, moved=ExclusionReason.LICENCE_NOT_IN_PRESET))
    assert out.withdrawn == {"icon_19": "left out now (licence_not_in_preset)"}
    kept = drift_between(KNOWN, moved, manifest(moved))
    assert kept.withdrawn == {"icon_19": "its licence is CC-BY-SA-4.0 now, it was CC-BY-4.0"}
    audited = {**KNOWN, "id2": changed(KNOWN["id2"], spdx="CC-BY-3.0")}
    assert set(drift_between(KNOWN, audited, manifest(audited)).withdrawn) == {"icon_2"}


@pytest.mark.parametrize(
    ("count", "of", "enough"),
    [
        (0, 20, False),
        (1, 20, True),
        (1, 21, False),
        (2, 21, True),
        (9, 460, False),
        (10, 460, True),
        (0, 0, False),
    ],
)
def test_five_percent_or_ten_icons(count, of, enough):
    assert Thresholds().reached(count, of) is enough
