"""croissant.json as mlcroissant reads it, without the network; and that it notices what is wrong."""

import io
import json

import pytest
from PIL import Image

from bioicons_pipeline.dataset import dataset_schema, write_croissant
from bioicons_pipeline.dataset.croissant import FIELDS, FILE
from bioicons_pipeline_tests.dataset.test_dataset import ROWS, build

pytestmark = pytest.mark.mlcroissant


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(
        "requests.sessions.Session.request", lambda *_, **__: pytest.fail("asked the network")
    )


@pytest.fixture
def folder(tmp_path):
    build(tmp_path / "set", ROWS)
    write_croissant(tmp_path / "set")
    return tmp_path / "set"


def records(folder, name):
    """Records of a record set by column name, as mlcroissant reads them."""
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=folder / FILE)
    for record in dataset.records(record_set=name):
        yield {key.removeprefix(f"{name}/"): value for key, value in record.items()}


def refusal(folder, name):
    """What mlcroissant says against reading a record set, down to the cause."""
    import mlcroissant

    with pytest.raises(mlcroissant.GenerationError) as caught:
        list(records(folder, name))
    said, error = [], caught.value
    while error:
        said.append(str(error))
        error = error.__cause__ or error.__context__
    return " ".join(said)


def changed(folder, change):
    document = json.loads((folder / FILE).read_text())
    change(document)
    (folder / FILE).write_text(json.dumps(document))


def test_it_validates_without_a_warning(folder):
    import mlcroissant

    read = mlcroissant.Dataset(jsonld=folder / FILE).metadata
    assert read.issues.errors == set() and read.issues.warnings == set()
    assert read.name == "bioicons: Animals" and len(read.creators) == 1
    assert read.license == ["https://creativecommons.org/licenses/by/4.0/"]
    assert "commit " + "f" * 40 in read.cite_as and read.date_published.year == 2025


def test_every_record_is_there_with_its_picture(folder):
    found = [*records(folder, "train-animals"), *records(folder, "heldout-animals")]
    assert len(found) == 40
    for record in found:
        number = int(record["icon_id"], 16)
        assert set(record) == set(dataset_schema().names) == set(FIELDS)
        assert isinstance(record["image"], Image.Image) and record["image"].getpixel((3, 3)) == (number, 0, 0)
        assert record["caption"] == f"bioicons style, mouse {number}".encode()
        assert record["captions"] == [record["caption"], b"a mouse"] and record["spdx"] == b"CC-BY-4.0"
        assert record["width"] == 32


def test_a_file_that_was_changed_is_refused(folder):
    shard = folder / "data" / "train-animals.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert "not identical" in refusal(folder, "train-animals")
    assert len(list(records(folder, "heldout-animals"))) == 8


def test_a_wrong_hash_is_refused(folder):
    changed(folder, lambda document: document["distribution"][0].update(sha256="0" * 64))
    name = json.loads((folder / FILE).read_text())["recordSet"][0]["@id"]
    assert "not identical" in refusal(folder, name)


@pytest.mark.parametrize(
    "fault",
    [
        lambda document: document["distribution"][0].pop("sha256"),
        lambda document: document["recordSet"][0]["field"][0]["source"]["fileObject"].update(
            {"@id": "data/x"}
        ),
    ],
    ids=["file without a hash", "field of no file"],
)
def test_what_is_missing_does_not_validate(folder, fault):
    import mlcroissant

    changed(folder, fault)
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld=folder / FILE)


def test_a_field_of_a_column_that_is_not_there_is_noticed(folder):
    fields = json.loads((folder / FILE).read_text())["recordSet"][0]["field"]
    assert fields[1]["source"]["extract"] == {"column": "caption"}
    changed(
        folder,
        lambda document: document["recordSet"][0]["field"][1]["source"]["extract"].update(column="captoin"),
    )
    name = json.loads((folder / FILE).read_text())["recordSet"][0]["@id"]
    assert "captoin" in refusal(folder, name)


def test_the_same_folder_gives_the_same_bytes(folder):
    before = (folder / FILE).read_bytes()
    assert write_croissant(folder).read_bytes() == before
    assert io.BytesIO(before).read() and str(folder).encode() not in before


def test_a_local_source_and_a_folders_commit(tmp_path):
    """A library without git: no address of this machine in the file, and a version that is one."""
    import mlcroissant

    build(tmp_path, ROWS)
    facts = json.loads((tmp_path / "dataset.json").read_text())
    facts |= {"source_url": "/home/someone/icons", "commit": "folder-sha256:abc", "committed_at": None}
    (tmp_path / "dataset.json").write_text(json.dumps(facts))
    text = write_croissant(tmp_path).read_text()
    assert json.loads(text)["version"] == "0.0.0+folder.sha256.abc" and "url" not in json.loads(text)
    mlcroissant.Dataset(jsonld=tmp_path / FILE)
