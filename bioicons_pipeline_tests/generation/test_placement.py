"""Where FLUX.1-dev goes on the cards that people have, and what decides it."""

import pytest

from bioicons_pipeline.generation.placement import Placement, installed_quantizers, placement
from bioicons_pipeline.training.memory import FLUX_DEV

BOTH = ("int8", "nf4")


@pytest.mark.parametrize(
    ("gib", "quantizers", "expected"),
    [
        (80, BOTH, Placement()),
        (38, BOTH, Placement()),
        (32, BOTH, Placement(offload="parts")),
        (24, BOTH, Placement("int8", "parts")),
        (16, BOTH, Placement("int8", "parts")),
        (12, BOTH, Placement("nf4", "parts")),
        (24, ("nf4",), Placement("nf4", "parts")),
        (24, (), Placement(offload="layers")),
        (8, BOTH, Placement(offload="layers")),
    ],
)
def test_the_best_that_fits(gib, quantizers, expected):
    assert placement(FLUX_DEV, gib * 2**30, quantizers) == expected


def test_more_memory_is_never_worse():
    order = [Placement(offload="layers"), Placement("nf4", "parts"), Placement("int8", "parts"),
             Placement(offload="parts"), Placement()]  # fmt: skip
    ranks = [order.index(placement(FLUX_DEV, gib * 2**30, BOTH)) for gib in range(4, 90)]
    assert ranks == sorted(ranks) and set(ranks) == set(range(5))


def test_what_is_installed_is_seen(monkeypatch):
    from bioicons_pipeline.generation import placement as room

    assert set(installed_quantizers()) <= set(BOTH)
    monkeypatch.setattr(room, "QUANTIZERS", {"int8": "no_such_library", "nf4": "json"})
    assert installed_quantizers() == ["nf4"]
