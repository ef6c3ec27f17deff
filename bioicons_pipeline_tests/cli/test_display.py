"""What several verbs show."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from bioicons_pipeline import cli_display

NAME = "Chemo-_and_Bioinformatics"
REASON = "captions are made anew, " * 8 + "[as asked]"


def shown(monkeypatch, **console) -> str:
    """A table of two long words as `say_table` prints it to such a console."""
    out = io.StringIO()
    monkeypatch.setattr(cli_display, "Console", lambda **how: Console(file=out, **how, **console))
    table = Table("category", "why", box=None)
    table.add_row(NAME, REASON)
    cli_display.say_table(table)
    return out.getvalue()


def test_elsewhere_than_on_a_terminal_a_row_is_a_line(monkeypatch):
    assert [line.split() for line in shown(monkeypatch).splitlines()][1] == [NAME, *REASON.split()]


@pytest.mark.parametrize("width", [80, 40])
def test_a_terminal_cuts_no_name(monkeypatch, width):
    text = shown(monkeypatch, force_terminal=True, width=width, color_system=None)
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    first = "".join(line.split("  ")[0].strip() for line in text.splitlines()[1:])
    assert first.startswith(NAME)
