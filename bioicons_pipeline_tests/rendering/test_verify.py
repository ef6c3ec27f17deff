"""The third opinion: one row an icon, and a file that crashes the browser costs itself only."""

import numpy as np
import pytest

from bioicons_pipeline.rendering.chromium import ChromiumError
from bioicons_pipeline.rendering.verify import summary, verify
from bioicons_pipeline_tests.rendering.hostile import RECT, svg

GREEN = svg('<rect width="100" height="100" fill="#00aa00"/>').encode()


class FakeBrowser:
    """Shows everything as plain green; a file with `crash` in it ends it."""

    started = 0

    def __init__(self):
        type(self).started += 1
        self.closed = False

    def render(self, svgs, size):
        if self.closed or any(b"crash" in data for data in svgs):
            self.closed = True
            raise ChromiumError("gone")
        for data in svgs:
            if b"broken" in data:
                yield None
            else:
                yield np.full((size, size, 3), 255 if b"white" in data else (0, 170, 0), np.uint8)

    def close(self):
        self.closed = True


def test_each_icon_has_a_row_that_says_who_drew_what():
    icons = [
        ("same", GREEN),
        ("differs", svg(f"<desc>white</desc>{GREEN.decode()}").encode()),
        ("only ours", svg(f"<desc>broken</desc>{RECT}").encode()),
        ("only theirs", svg("").encode()),
        ("neither", b"white"),
        ("crashes", svg(f"<desc>crash</desc>{RECT}").encode()),
        ("after", GREEN),
    ]
    told: list[tuple[int, int]] = []
    rows = list(
        verify(icons, size=64, workers=1, progress=lambda *step: told.append(step), browser=FakeBrowser)
    )
    assert [row.key for row in rows] == [key for key, _ in icons]
    by_key = {row.key: row for row in rows}
    assert (by_key["same"].difference, by_key["same"].differs) == (pytest.approx(0, abs=0.5), False)
    assert by_key["differs"].difference > 100 and by_key["differs"].differs
    assert (by_key["only ours"].theirs, by_key["only ours"].differs) == ("broken", True)
    assert (by_key["only theirs"].ours, by_key["only theirs"].differs) == ("nothing_drawn", True)
    assert (by_key["neither"].ours, by_key["neither"].differs) == ("not_xml", False)
    assert (by_key["crashes"].theirs, by_key["crashes"].difference) == ("crashed", None)
    assert by_key["after"].difference == by_key["same"].difference
    assert told == [(n, 7) for n in range(1, 8)]
    figures = summary(rows)
    assert figures["compared"] == 3 and figures["icons"] == 7
    assert set(figures["differ"]) == {"differs", "only ours", "only theirs", "crashes"}
    assert set(rows[0].as_row()) == {"key", "difference", "ours", "theirs", "differs"}


def test_without_a_working_browser_it_says_so():
    def none_there():
        raise ChromiumError("No Chromium found")

    with pytest.raises(ChromiumError):
        next(verify([("a", GREEN)], size=64, workers=1, browser=none_there))
