"""Processes that read batches ahead: what they must not say, and what they must."""

import signal
import sys

import pytest

from bioicons_pipeline.training.loop import _quiet_reader


@pytest.fixture
def shown(monkeypatch):
    """Errors that reach the user's terminal from a reader."""
    found = []
    kept = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: found.append(error))
    _quiet_reader(0)
    yield found
    signal.signal(signal.SIGINT, kept)


def test_a_reader_says_nothing_of_a_trainer_that_is_gone(shown):
    for error in (ConnectionResetError("reset"), BrokenPipeError(), EOFError()):
        sys.excepthook(type(error), error, None)
    assert shown == []


def test_a_reader_still_shows_what_went_wrong_in_it(shown):
    error = ValueError("a real fault")
    sys.excepthook(ValueError, error, None)
    assert shown == [error]


def test_a_reader_leaves_ctrl_c_to_the_trainer(shown):
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
