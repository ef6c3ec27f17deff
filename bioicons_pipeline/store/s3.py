"""Bytes in a bucket: the backend of `s3://bucket/prefix`, over boto3.

An object appears as a whole: one PUT, or a multipart upload, of which nothing is visible before it is
completed (https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html). S3 answers reads and
listings with the newest complete write, so there is nothing to sync and nothing half-written to hide; a
killed upload leaves parts that no reader sees, which `sweep` deletes.

Does not belong here: what the keys mean, what errors mean (`s3_errors.py`), any credential. boto3 is
imported when a request is made, not before.
"""

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, cast

from bioicons_pipeline.store import s3_errors
from bioicons_pipeline.store.errors import StoreError
from bioicons_pipeline.store.parallel import map_all
from bioicons_pipeline.store.s3_bodies import Download, parts_of
from bioicons_pipeline.store.s3_errors import code_of, explained_s3, is_missing

PART = 8 << 20
"""Bytes of a part; what is smaller goes in one PUT. S3 wants 5 MiB or more, and at most 10,000 parts."""
PARTS_AT_ONCE = 4
LIST_FROM = 64
"""From this many keys on their sizes are looked up by listing, 1,000 a request, not one by one."""
_NOT_FOR_US = {403, 404, 405, 501}
"""HTTP statuses of what these credentials, or this server, cannot do."""


class S3Backend:
    """A prefix of a bucket; see `store.backend.Backend`."""

    def __init__(self, root: str) -> None:
        bucket, _, prefix = root.removeprefix("s3://").strip("/").partition("/")
        if "@" in bucket or ":" in bucket or "?" in root:
            # not repeated: it may hold a secret
            raise StoreError(
                "The store's root is no s3://bucket/prefix: give credentials in AWS_*, not in it."
            )
        if not bucket:
            raise StoreError(f"The store's root {root} names no bucket: write s3://bucket/prefix.")
        self._bucket, self._prefix = bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.root = f"s3://{bucket}/{self._prefix}".rstrip("/")
        self._made: Any = None
        self._lock = threading.Lock()

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                with explained_s3("connecting", self.root):  # a profile that is not there, no region
                    self._made = s3_errors.connect()
            return self._made

    def _name(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    # Reading

    def open(self, key: str) -> BinaryIO | None:
        got = self._get(key)
        if got is None:
            return None
        return cast(BinaryIO, self._download(key, got))

    def _download(self, key: str, got: dict[str, Any]) -> Download:
        etag = got["ETag"]
        return Download(got, lambda offset: self._get(key, offset, etag), f"reading {key}", self.root)

    def _get(self, key: str, offset: int = 0, etag: str | None = None) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        # a write in between would put the end of one content to the beginning of another
        rest = {"Range": f"bytes={offset}-", "IfMatch": etag} if offset else {}
        with explained_s3(f"reading {key}", self.root):
            try:
                return self._client.get_object(**self._name(key), **rest)
            except ClientError as error:
                if is_missing(error) or code_of(error) == "PreconditionFailed":
                    return None
                raise

    def size(self, key: str) -> int | None:
        head = self._head(key)
        return None if head is None else head["ContentLength"]

    def _head(self, key: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with explained_s3(f"reading {key}", self.root):
            try:
                return self._client.head_object(**self._name(key))
            except ClientError as error:
                if is_missing(error):
                    return None
                raise

    def sizes(self, keys: Iterable[str]) -> dict[str, int]:
        """Sizes of those of `keys` that are there. Many keys are found by listing the prefixes they share."""
        wanted = sorted(set(keys))
        groups: list[list[str]] = [[key] for key in wanted]
        if len(wanted) >= LIST_FROM:
            groups = [list(group) for _, group in itertools.groupby(wanted, key=_shared)]
        found = map_all(self._sizes_of_group, groups)
        return {key: size for part in found for key, size in part.items()}

    def _sizes_of_group(self, group: list[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        left = group
        if len(group) >= 4:
            pages = self._pages(_shared(group[0]))
            # a store that holds much else is not read to its end: asking for the rest one by one is cheaper
            for _ in range(max(1, len(group) // 4)):
                page = next(pages, [])
                found |= dict(page)
                left = [key for key in left if key > page[-1][0]] if page else []
                if not left:
                    break
        sizes = found | {key: size for key in left if (size := self.size(key)) is not None}
        return {key: sizes[key] for key in group if key in sizes}

    def _pages(self, prefix: str, **how: str) -> Iterator[list[tuple[str, int]]]:
        """(key, size) of what begins with `prefix`, in order, in pages of up to 1,000."""
        listing = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix, **how
        )
        with explained_s3(f"listing {prefix}", self.root):
            for page in listing:
                yield [
                    (entry["Key"].removeprefix(self._prefix), entry["Size"])
                    for entry in page.get("Contents", [])
                ]

    def list(self, folder: str) -> list[str]:
        pages = self._pages(f"{folder}/", Delimiter="/")
        names = [key.rpartition("/")[2] for page in pages for key, _ in page]
        return sorted(name for name in names if name and not name.startswith("."))

    def keys(self, folder: str) -> Iterator[str]:
        """Every key below `folder`, in order."""
        for page in self._pages(f"{folder}/"):
            yield from (key for key, _ in page)

    # Writing

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        parts = parts_of(chunks, PART)
        head = list(itertools.islice(parts, 2))
        with explained_s3(f"writing {key}", self.root):
            if len(head) < 2:
                self._client.put_object(**self._name(key), Body=b"".join(head))
            else:
                self._write_in_parts(key, itertools.chain(head, parts))

    def _write_in_parts(self, key: str, parts: Iterable[bytes]) -> None:
        name = self._name(key)
        made = self._client.create_multipart_upload(**name, ChecksumAlgorithm="CRC32")
        upload = {**name, "UploadId": made["UploadId"]}
        try:
            done: list[dict[str, Any]] = []
            size = 0
            with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
                pending: deque[Any] = deque()
                for number, part in enumerate(parts, start=1):
                    if len(pending) == PARTS_AT_ONCE:
                        done.append(pending.popleft().result())
                    pending.append(pool.submit(self._write_part, upload, number, part))
                    size += len(part)
                done += [future.result() for future in pending]
            self._complete(key, upload, done, size)
        except BaseException:  # Ctrl-C too leaves no parts that someone pays for
            with suppress(Exception):
                self._client.abort_multipart_upload(**upload)
            raise

    def _write_part(self, upload: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        answer = self._client.upload_part(**upload, PartNumber=number, Body=part, ChecksumAlgorithm="CRC32")
        about = {"PartNumber": number, "ETag": answer["ETag"]}
        if "ChecksumCRC32" in answer:  # servers that know no checksums leave it out
            about["ChecksumCRC32"] = answer["ChecksumCRC32"]
        return about

    def _complete(self, key: str, upload: dict[str, str], done: Sequence[dict[str, Any]], size: int) -> None:
        from botocore.exceptions import ClientError

        try:
            self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})
        except ClientError as error:
            # the answer to a first attempt got lost, and this is the answer to the second
            if code_of(error) != "NoSuchUpload" or self.size(key) != size:
                raise

    def delete(self, key: str) -> bool:
        return self._head(key) is not None and self._delete(key)

    def _delete(self, key: str) -> bool:
        with explained_s3(f"deleting {key}", self.root):
            self._client.delete_object(**self._name(key))
        return True

    # Pruning. The time of the last write is the only one that S3 keeps, so a use is a copy onto itself.

    def used(self, key: str) -> float | None:
        """When `key` was last written, seconds since 1970 by the clock of S3; None if there is none."""
        from botocore.utils import parse_timestamp

        head = self._head(key)
        return None if head is None else parse_timestamp(head["LastModified"]).timestamp()

    def touch(self, key: str, after: float) -> bool:
        """Count `key` as used now, if it was not within `after` seconds; whether there is such a key."""
        from botocore.exceptions import ClientError

        used = self.used(key)
        if used is None or time.time() - used <= after:
            return used is not None
        name = self._name(key)
        with explained_s3(f"writing {key}", self.root):
            try:
                # S3 copies an object onto itself only if something about it is to be replaced
                self._client.copy_object(
                    **name, CopySource=dict(name), MetadataDirective="REPLACE", Metadata={"used": "again"}
                )
            except ClientError as error:
                if is_missing(error):
                    return False
                raise
        return True

    def expire(self, key: str, before: float) -> bool:
        """Delete `key` if it was last used before `before`; whether it did.

        S3 cannot do both in one step: what is used again in the milliseconds between is lost, and is missed
        when it is read.
        """
        used = self.used(key)
        return used is not None and used < before and self._delete(key)

    def sync(self, folders: Iterable[str]) -> None:
        """Nothing to do: what S3 has acknowledged is durable."""

    def sweep(self, older_than: float) -> int:
        """Abort multipart uploads begun more than `older_than` seconds ago; how many."""
        from botocore.exceptions import ClientError

        before = datetime.now(UTC) - timedelta(seconds=older_than)
        swept = 0
        with explained_s3("looking for unfinished uploads", self.root):
            try:
                listing = self._client.get_paginator("list_multipart_uploads").paginate(
                    Bucket=self._bucket, Prefix=self._prefix
                )
                for upload in (found for page in listing for found in page.get("Uploads", [])):
                    if datetime.fromisoformat(upload["Initiated"]) < before:
                        name = {"Bucket": self._bucket, "Key": upload["Key"]}
                        self._client.abort_multipart_upload(**name, UploadId=upload["UploadId"])
                        swept += 1
            except ClientError as error:
                # tidying up needs rights, and a server, that storing does not need
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in _NOT_FOR_US:
                    raise
        return swept

    # Conditional writes (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html)

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Content and its tag, which every write changes; None if there is no such key."""
        got = self._get(key)
        if got is None:
            return None
        return self._download(key, got).read(), got["ETag"]

    def write_if(self, key: str, data: bytes, expected: str | None) -> bool:
        """Write if the key still has the tag `expected` (None: if there is none yet); whether it was so.

        Of several who try at once one gets True. The server must know conditional writes: S3 does.
        """
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        with explained_s3(f"writing {key}", self.root):
            try:
                self._client.put_object(**self._name(key), Body=data, **condition)
                return True
            except ClientError as error:
                about = error.response.get("ResponseMetadata", {})
                if about.get("HTTPStatusCode") not in (409, 412) and not is_missing(error):
                    raise
                repeated = about.get("RetryAttempts", 0) > 0
        # The answer to a first attempt may have got lost: then what is there is ours.
        held = self.read_tagged(key) if repeated else None
        return held is not None and held[0] == data


def _shared(key: str) -> str:
    """What a listing begins with, `blobs/a`: hashes spread evenly, so 16 listings go on side by side."""
    return key[: key.find("/") + 2]
