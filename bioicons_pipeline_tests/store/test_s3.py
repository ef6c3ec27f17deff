"""The store on S3: the same promises on two servers, and what only S3 needs."""

import io
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from bioicons_pipeline.doctor_store import conditional_writes
from bioicons_pipeline.store import Store, StoreError, s3
from bioicons_pipeline.store.s3 import S3Backend
from bioicons_pipeline_tests import s3_servers

BOTH = pytest.mark.parametrize("s3_endpoint", ["moto", "rclone"], indirect=True)
FILES = {"a.json": b"{}", "png/1.png": b"one" * 999, "png/leer": b"", "svg/ü.svg": b"<svg/>"}


@pytest.fixture
def requests(monkeypatch) -> list[str]:
    """Method and path of every request that botocore sends from here on."""
    from botocore.httpsession import URLLib3Session

    seen: list[str] = []
    real = URLLib3Session.send

    def send(self, request):
        seen.append(f"{request.method} {request.url.partition('127.0.0.1')[2].partition('/')[2]}")
        return real(self, request)

    monkeypatch.setattr(URLLib3Session, "send", send)
    return seen


@BOTH
def test_versions_and_refs_are_those_of_a_local_store(s3_root, local, tmp_path):
    store = Store(s3_root)
    here, there = local.commit(FILES), store.commit(FILES)
    assert there == here
    assert store.set_ref("a", there.id, partition="x", info={"n": 1}).version_id == there.id
    again = Store(str(store.root))
    assert again.get_ref("a", partition="x").info == {"n": 1}
    assert list(again.list_refs("a")) == ["x"] and again.get_ref("a") is None
    assert {entry.path: again.read(there.id, entry.path) for entry in there.files} == FILES
    assert again.verify(there.id) == [] and again.intact(there.id)
    folder = again.checkout(there.id, tmp_path / "out")
    assert (folder / "svg" / "ü.svg").read_bytes() == b"<svg/>"
    assert again.delete_ref("a", partition="x") and not again.delete_ref("a", partition="x")
    assert again.sweep(older_than=0) == 0


@BOTH
def test_many_keys_are_looked_up_by_listing(s3_root, requests):
    store = Store(s3_root)
    files = {f"{number}.png": b"%d" % number for number in range(100)}
    version = store.commit(files)
    requests.clear()
    assert Store(s3_root).commit(files) == version
    assert len(requests) <= 22 and not [one for one in requests if one.startswith("PUT")]
    assert store.intact(version)
    one, other = version.files[7], version.files[50]
    backend = S3Backend(s3_root)
    assert backend.delete(f"blobs/{one.sha256[:2]}/{one.sha256}")
    backend.write(f"blobs/{other.sha256[:2]}/{other.sha256}", [b"too long"])
    assert not store.intact(version)
    assert {damage.problem for damage in store.verify(version)} == {"missing", "wrong size"}
    with pytest.raises(StoreError, match=rf"{one.sha256} \({one.path}\).* is missing"):
        store.read(version, one.path)
    assert store.commit(files) == version and store.verify(version) == []  # both are rebuilt
    assert len(list(backend.keys("blobs"))) == 100
    assert set(backend.keys("versions")) == {f"versions/{version.id}.json"}


def test_what_else_is_in_the_store_is_not_read_to_its_end(s3_root, requests, monkeypatch):
    backend = S3Backend(s3_root)
    keys = [f"blobs/aa/{number:04d}" for number in range(80)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: backend.write(key, [b"x"]), keys))
    wanted = [*keys[:5], keys[-1], "blobs/aa/none", "blobs/bb/none"]
    monkeypatch.setattr(s3, "LIST_FROM", 4)
    pages = S3Backend._pages
    monkeypatch.setattr(S3Backend, "_pages", lambda self, prefix, **how: _in_tens(pages(self, prefix, **how)))
    requests.clear()
    assert backend.sizes(wanted) == dict.fromkeys([*keys[:5], keys[-1]], 1)
    assert len(requests) <= 5


def _in_tens(pages):
    found = [entry for page in pages for entry in page]
    return iter([found[start : start + 10] for start in range(0, len(found), 10)])


def test_a_damaged_blob_is_named(s3_root, tmp_path):
    store = Store(s3_root)
    version = store.commit(FILES)
    sha256 = version.entry("a.json").sha256
    S3Backend(s3_root).write(f"blobs/{sha256[:2]}/{sha256}", [b"[]"])
    with pytest.raises(StoreError, match=rf"blobs/{sha256[:2]}/{sha256} \(a\.json\).*is damaged"):
        store.checkout(version, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not store.intact(version) and store.commit(FILES) == version
    assert store.verify(version) == []  # of the right size as it was, it is rebuilt all the same


@BOTH
def test_large_files_go_in_parts_and_come_back(s3_root, monkeypatch, tmp_path):
    monkeypatch.setattr(s3, "PART", s3_servers.SMALLEST_PART)
    data = bytes(range(256)) * 2000  # 512,000 bytes, eight parts
    (tmp_path / "w.safetensors").write_bytes(data)
    store = Store(s3_root)
    version = store.commit({"w": tmp_path / "w.safetensors", "exact": data[: 2 * s3.PART]})
    assert store.read(version, "w") == data and store.read(version, "exact") == data[: 2 * s3.PART]


def test_nothing_of_an_upload_in_parts_is_visible_before_its_end(s3_root, s3_endpoint, monkeypatch):
    monkeypatch.setattr(s3, "PART", s3_servers.SMALLEST_PART)
    backend, client = S3Backend(s3_root), s3_servers.connect(s3_endpoint)
    bucket = s3_root.split("/")[2]
    backend.write("refs/x", [b"old"])

    def chunks(fails: bool):
        for _ in range(6):
            assert backend.open("refs/x").read() == b"old"
            yield bytes(s3.PART)
        if fails:
            raise StoreError("the file changed")

    with pytest.raises(StoreError, match="the file changed"):
        backend.write("refs/x", chunks(fails=True))
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert backend.open("refs/x").read() == b"old"
    backend.write("refs/x", chunks(fails=False))
    assert backend.size("refs/x") == 6 * s3.PART


def test_parts_of_killed_uploads_are_swept_when_old(s3_root, s3_endpoint):
    client, bucket = s3_servers.connect(s3_endpoint), s3_root.split("/")[2]
    client.create_multipart_upload(Bucket=bucket, Key="some/prefix/blobs/aa/aa")
    client.create_multipart_upload(Bucket=bucket, Key="other/blobs/aa/aa")
    backend = S3Backend(s3_root)
    # moto says of every upload that it began in 2010
    assert backend.sweep(older_than=50 * 365 * 86400) == 0
    assert backend.sweep(older_than=86400) == 1
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [upload["Key"] for upload in left] == ["other/blobs/aa/aa"]


def test_conditional_writes(s3_root):
    backend = S3Backend(s3_root)
    assert backend.read_tagged("leases/x") is None
    assert not backend.write_if("leases/x", b"0", '"0123"')  # nothing there to replace
    assert backend.write_if("leases/x", b"1", None)
    assert not backend.write_if("leases/x", b"2", None)
    content, tag = backend.read_tagged("leases/x")
    assert content == b"1"
    assert backend.write_if("leases/x", b"2", tag)
    assert not backend.write_if("leases/x", b"3", tag)
    assert backend.read_tagged("leases/x")[0] == b"2"


def test_of_many_who_write_at_once_one_wins(s3_root):
    backend = S3Backend(s3_root)
    barrier = threading.Barrier(8)

    def attempt(content: bytes, tag: str | None) -> bool:
        barrier.wait()
        return backend.write_if("leases/x", content, tag)

    with ThreadPoolExecutor(8) as pool:
        for turn in range(5):
            held = backend.read_tagged("leases/x")
            tag = held and held[1]
            # never what is there already: its tag would not change, and a second writer would be right too
            contents = [b"%d %d" % (turn, number) for number in range(8)]
            won = list(pool.map(attempt, contents, [tag] * 8))
            assert won.count(True) == 1
            assert backend.read_tagged("leases/x")[0] == contents[won.index(True)]


def test_a_root_with_credentials_in_it_is_refused_and_not_repeated():
    with pytest.raises(StoreError) as caught:
        Store("s3://KEYID:hunter2@bucket/prefix")
    assert "hunter2" not in str(caught.value) and "AWS_*" in str(caught.value)
    with pytest.raises(StoreError, match="names no bucket"):
        Store("s3://")


def test_opening_a_store_on_s3_imports_no_boto3():
    program = (
        "import sys; from bioicons_pipeline.store import Store; Store('s3://b/p');"
        "print([name for name in ('boto3', 'botocore', 'fsspec') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parts_are_of_one_size_whatever_the_chunks():
    from bioicons_pipeline.store.s3_bodies import parts_of

    for sizes in [(), (1,), (3, 4), (8,), (16,), (5, 20, 0, 1)]:
        data = bytes(range(sum(sizes)))
        stream = io.BytesIO(data)
        parts = list(parts_of((stream.read(size) for size in sizes), 8))
        assert b"".join(parts) == data
        assert [len(part) for part in parts[:-1]] == [8] * (len(parts) - 1)


def test_one_large_chunk_is_cut_without_copying_the_rest_each_time():
    from bioicons_pipeline.store.s3_bodies import parts_of

    data = bytes(32 << 20)
    tracemalloc.start()
    try:
        assert sum(len(part) for part in parts_of([data], 1 << 20)) == len(data)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_aws_settings_that_cannot_be_used_are_said(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(StoreError, match=r"no-such-profile.*correct the AWS settings"):
        Store("s3://bucket/prefix").get_ref("a")


@pytest.mark.parametrize(
    ("s3_endpoint", "state"), [("moto", "ok"), ("rclone", "problem")], indirect=["s3_endpoint"]
)
def test_the_doctor_knows_servers_that_ignore_conditions(s3_root, state):
    found = conditional_writes(s3_root)
    assert found.state == state and (found.advice or state == "ok")
    assert list(S3Backend(s3_root).keys("leases")) == []


def test_the_doctor_says_what_is_wrong_with_the_store(monkeypatch, s3_endpoint):
    found = conditional_writes("s3://no-such-bucket-here/x")
    assert found.state == "problem" and "there is no bucket" in found.meaning
