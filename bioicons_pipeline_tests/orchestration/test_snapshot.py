"""A snapshot takes what it can of an upstream that is not ours to mend, and says what it left out."""

import json
import unicodedata

from bioicons_pipeline.orchestration.stages.snapshot import snapshot
from bioicons_pipeline.store import Store
from bioicons_pipeline_tests.library.repositories import svg


def test_two_names_that_are_one_once_normalised_do_not_stop_the_library(tmp_path):
    author = tmp_path / "upstream" / "cc-0" / "Animals" / "Ann"
    author.mkdir(parents=True)
    for form, colour in (("NFC", "red"), ("NFD", "blue")):
        (author / unicodedata.normalize(form, "café.svg")).write_bytes(svg(colour))
    (author / "mouse.svg").write_bytes(svg())
    store = Store(tmp_path / "store")
    taken = snapshot(store, str(tmp_path / "upstream"), None, tmp_path / "cache")
    (refused,) = taken.facts["refused"]
    assert taken.facts["icons"] == 2 and "normalised" in refused["reason"]
    assert json.loads(store.read(taken.version_id, "snapshot.json"))["refused"] == [refused]
    kept = unicodedata.normalize("NFD", "icons/cc-0/Animals/Ann/café.svg")
    assert store.read(taken.version_id, kept) == svg("blue")
