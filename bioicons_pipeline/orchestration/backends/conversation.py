"""Dagster Pipes through S3: the request there, the messages back, and nothing left when it is over.

Belongs here: where context and messages lie, reading them to the end. Does not belong here: which place the
process runs at. dagster-aws' reader and injector take random names in the bucket's root, leave the messages,
and after an error the context too; here both are in one folder, which goes at the end. What a killed
orchestrator leaves there can go after a day: give the prefix a lifecycle rule.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError
from dagster_aws.pipes import PipesS3ContextInjector, PipesS3MessageReader


class Conversation:
    """The exchange with one process.

    Args:
        s3: a boto3 client.
        place: `s3://bucket/prefix`.
        run_id: of the Dagster run, to find the folder by.
        poll_seconds: between two looks for messages, and between two uploads of them.
    """

    def __init__(self, s3: Any, place: str, run_id: str, poll_seconds: float) -> None:
        bucket, _, prefix = place.removeprefix("s3://").strip("/").partition("/")
        self._s3, self._bucket, self._poll = s3, bucket, poll_seconds
        self._folder = f"{f'{prefix}/' if prefix else ''}{run_id}-{uuid4().hex[:8]}"

    def injector(self) -> PipesS3ContextInjector:
        """Brings the request to the process."""
        return PipesS3ContextInjector(
            bucket=self._bucket, client=self._s3, key_prefix=f"{self._folder}/context-"
        )

    def reader(self) -> PipesS3MessageReader:
        """Brings log lines and results back while the process runs."""
        return _Reader(self._bucket, self._s3, f"{self._folder}/messages", self._poll)

    def environment(self) -> dict[str, str]:
        """What the process needs in its environment, beside what Pipes itself puts there."""
        return {"BIOICONS_PIPES_S3": str(self._poll)}

    def close(self) -> list[Any]:
        """All custom messages, read anew (the reader may have missed the last); the folder is deleted."""
        found: list[Any] = []
        with suppress(ClientError, BotoCoreError):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._folder}/"
            )
            names = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
            numbered = [name for name in names if name.startswith(f"{self._folder}/messages/")]
            for name in sorted(numbered, key=_number):
                body = self._s3.get_object(Bucket=self._bucket, Key=name)["Body"].read()
                found += _custom(body.decode())
            for name in names:
                self._s3.delete_object(Bucket=self._bucket, Key=name)
        return found


class _Reader(PipesS3MessageReader):
    """The reader with a folder of its own."""

    def __init__(self, bucket: str, client: Any, folder: str, interval: float) -> None:
        super().__init__(bucket=bucket, client=client, interval=interval)
        self._folder = folder

    @contextmanager
    def get_params(self) -> Iterator[dict[str, Any]]:
        with super().get_params() as params:
            yield {**params, "key_prefix": self._folder}


def _number(name: str) -> int:
    stem = name.rpartition("/")[2].removesuffix(".json")
    return int(stem) if stem.isdigit() else 0


def _custom(text: str) -> list[Any]:
    """The payloads of the custom messages in one uploaded piece of the Pipes protocol."""
    found = []
    for line in text.splitlines():
        with suppress(ValueError, KeyError, TypeError):
            message = json.loads(line)
            if message["method"] == "report_custom_message":
                found.append(message["params"]["payload"])
    return found
