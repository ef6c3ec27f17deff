"""What S3 says when it fails, as one sentence of the store's.

Belongs here: the connection (`connect`), and which failure of botocore means what for a person. Does not
belong here: what is read or written (`s3.py`). Codes: the S3 API reference, "Error responses"
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html); retries are those of botocore's
standard mode, which repeats time-outs, dropped connections, 5xx and throttling with growing pauses.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from bioicons_pipeline.store.errors import StoreError

ATTEMPTS = 5
"""Tries of one request, the first included."""
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0

_MISSING = {"NoSuchKey", "NotFound", "404"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "Forbidden", "403"}
_BAD_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
}
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "500", "502", "503", "504"}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}


def connect() -> Any:
    """A client whose endpoint, region and credentials are boto3's own business (`AWS_*`, files, roles)."""
    import boto3.session
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session()
    session.register_component("data_loader", _models())
    # times stay text: to parse one for each key of a listing takes longer than all else
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    return boto3.session.Session(botocore_session=session).client(
        "s3",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=40,
            # every blob and version is checked against its SHA-256 as it is read
            response_checksum_validation="when_required",
        ),
    )


@cache
def _models() -> Any:
    """botocore's descriptions of the services, read once a process: they are most of what a client costs."""
    from botocore.loaders import create_loader

    return create_loader()


def code_of(error: Any) -> str:
    """The code of a ClientError; the HTTP status where a HEAD has no body to say it in."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_missing(error: Any) -> bool:
    """Whether a ClientError says that there is no such key."""
    return code_of(error) in _MISSING


@contextmanager
def explained_s3(doing: str, root: str) -> Iterator[None]:
    """Turn what botocore raises inside the block into a StoreError about `doing` at `root`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise StoreError(_answered(error, doing, root)) from error
    except BotoCoreError as error:
        raise StoreError(_unanswered(error, doing, root)) from error


def _failed(doing: str, root: str) -> str:
    return f"{doing[:1].upper()}{doing[1:]} at {root} failed"


def _answered(error: Any, doing: str, root: str) -> str:
    code, failed = code_of(error), _failed(doing, root)
    if code == "NoSuchBucket":
        bucket = root.removeprefix("s3://").partition("/")[0]
        return f"{failed}, because there is no bucket {bucket}: create it, or correct BIOICONS_STORE_ROOT."
    if code in _BAD_CREDENTIALS:
        return (
            f"{failed}, because S3 refuses the credentials ({code}): renew AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or the profile or role that is used."
        )
    if code in _DENIED:
        return (
            f"{failed}, because access is denied ({code}): check the credentials, and allow them "
            "s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket there."
        )
    if code in _OTHER_REGION:
        return f"{failed}, because the bucket is in another region ({code}): set AWS_DEFAULT_REGION to it."
    if code in _BUSY:
        return (
            f"{failed}, because S3 was not able to answer in {ATTEMPTS} attempts ({code}): run it again "
            "later; what was stored before is untouched."
        )
    message = error.response.get("Error", {}).get("Message", "")
    return f"{failed} ({code or 'no code'}: {message}): check the bucket and the endpoint."


def _unanswered(error: Exception, doing: str, root: str) -> str:
    from botocore import exceptions as boto

    failed = _failed(doing, root)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return (
            f"{failed}, because there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "AWS_PROFILE, or run where a role is given."
        )
    if isinstance(error, boto.ConnectTimeoutError | boto.ReadTimeoutError):
        return (
            f"{failed}, because S3 did not answer in time, {ATTEMPTS} times: check the network and "
            "AWS_ENDPOINT_URL, then run it again; what was stored before is untouched."
        )
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError | boto.IncompleteReadError):
        return (
            f"{failed}, because the connection was refused or cut ({type(error).__name__}): check the "
            "network and AWS_ENDPOINT_URL, then run it again; what was stored before is untouched."
        )
    if isinstance(error, boto.ProfileNotFound | boto.NoRegionError | boto.InvalidConfigError):
        return f"{failed} ({error}): correct the AWS settings of this user."
    return f"{failed} ({error}): check the AWS settings of this user."
