"""S3 that answers late, wrongly, by half or not at all: it is tried again, then said in one sentence."""

import pytest

from bioicons_pipeline.store import Store, StoreError, s3, s3_bodies, s3_errors
from bioicons_pipeline.store.s3 import S3Backend
from bioicons_pipeline_tests import s3_servers

OLD = {"a": b"old" * 1000, "w": b"w" * 70_000}
NEW = {"a": b"new" * 1000, "b": b"second", "w": bytes(range(256)) * 1000}


@pytest.fixture
def proxy(s3_root, s3_endpoint, monkeypatch):
    """A proxy before moto, which boto3 uses; waits are short, and files over 64 KiB go in parts."""
    made = s3_servers.FaultyProxy(s3_endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.endpoint)
    monkeypatch.setattr(s3_errors, "READ_TIMEOUT_S", 1.0)
    monkeypatch.setattr(s3_errors, "ATTEMPTS", 2)
    monkeypatch.setattr(s3_bodies, "PAUSE_S", 0.01)
    monkeypatch.setattr(s3, "PART", s3_servers.SMALLEST_PART)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *given: 0.01)
    yield made
    made.close()


def publish(root, files):
    store = Store(root)
    version = store.commit(files)
    store.set_ref("a", version.id)
    return version


def read(root):
    store = Store(root)
    version = store.version(store.get_ref("a").version_id)
    return {entry.path: store.read(version, entry.path) for entry in version.files}


ONCE = {
    "503 SlowDown": {"method": "PUT"},
    "500 InternalError": {"method": "POST"},
    "silence": {"method": "PUT", "within": "/blobs/"},
    "slow": {},
    "cut upload": {"method": "PUT", "within": "uploadId"},
    "lost answer": {"method": "POST", "within": "uploadId"},
    "cut answer": {"method": "GET", "within": "/versions/"},
}


@pytest.mark.parametrize("kind", ONCE)
def test_one_fault_passes_unnoticed(proxy, s3_root, kind):
    publish(s3_root, OLD)
    proxy.next(kind, times=1, **ONCE[kind])
    publish(s3_root, NEW)
    proxy.next("cut answer", times=1, method="GET", within="/blobs/")
    assert read(s3_root) == NEW


ALWAYS = {
    "503 SlowDown": "not able to answer in 2 attempts",
    "silence": "did not answer in time, 2 times",
    "cut upload": "the connection was refused or cut",
    "lost answer": "the connection was refused or cut",
    "403 AccessDenied": "access is denied .*s3:PutObject",
}


@pytest.mark.parametrize("kind", ALWAYS)
def test_a_lasting_fault_is_one_sentence_and_nothing_is_torn(proxy, s3_root, s3_endpoint, kind):
    publish(s3_root, OLD)
    proxy.next(kind, method="PUT")
    with pytest.raises(StoreError, match=ALWAYS[kind]) as caught:
        publish(s3_root, NEW)
    assert s3_root in str(caught.value) and str(caught.value).endswith(".")
    for secret in (s3_servers.KEY_ID, s3_servers.SECRET):
        assert secret not in str(caught.value)
    proxy.next(kind, times=0)
    assert read(s3_root) == OLD
    client, bucket = s3_servers.connect(s3_endpoint), s3_root.split("/")[2]
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    version = publish(s3_root, NEW)
    assert read(s3_root) == NEW and Store(s3_root).verify(version) == []


def test_a_download_that_is_cut_again_and_again(proxy, s3_root):
    version = publish(s3_root, OLD)
    proxy.next("cut answer", method="GET", within="/blobs/")
    with pytest.raises(StoreError, match="connection was refused or cut"):
        Store(s3_root).read(version, "w")


def test_a_cut_download_goes_on_where_it_was(proxy, s3_root, s3_endpoint):
    data = bytes(range(256)) * 40_000
    s3_servers.connect(s3_endpoint).put_object(
        Bucket=s3_root.split("/")[2], Key="some/prefix/blobs/x", Body=data
    )
    proxy.next("cut answer", times=1, method="GET", within="/blobs/")
    assert S3Backend(s3_root).open("blobs/x").read() == data
    # what is replaced meanwhile is not glued to what was read before
    stream = S3Backend(s3_root).open("blobs/x")
    assert stream.read(1000) == data[:1000]
    s3_servers.connect(s3_endpoint).put_object(
        Bucket=s3_root.split("/")[2], Key="some/prefix/blobs/x", Body=data[::-1]
    )
    stream._go_on.__self__._body.close()
    with pytest.raises(StoreError, match="deleted or replaced meanwhile"):
        stream._go_on()


def test_a_condition_whose_answer_got_lost_still_holds(proxy, s3_root):
    backend = S3Backend(s3_root)
    proxy.next("lost answer", times=1, method="PUT")
    assert backend.write_if("leases/x", b"mine", None)
    assert not backend.write_if("leases/x", b"other", None)


def test_no_credentials_no_bucket_no_server(s3_root, monkeypatch):
    with pytest.raises(StoreError, match=r"no bucket missing-bucket: create it"):
        publish("s3://missing-bucket/x", OLD)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(s3_errors, "ATTEMPTS", 1)
    with pytest.raises(StoreError, match="connection was refused or cut"):
        publish(s3_root, OLD)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StoreError, match="there are no credentials: set AWS_ACCESS_KEY_ID"):
        publish(s3_root, OLD)


@pytest.mark.parametrize("s3_endpoint", ["rclone"], indirect=True)
def test_wrong_credentials(s3_root, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(StoreError, match=r"access is denied .*check the credentials"):
        Store(s3_root).has_blob("0" * 64)  # a HEAD, whose answer has no code
    with pytest.raises(StoreError, match="S3 refuses the credentials"):
        Store(s3_root).get_ref("a")
