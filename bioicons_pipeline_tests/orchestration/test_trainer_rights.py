"""What a training asks of S3 is what the policy in deploy/aws allows: every request of a real one."""

import urllib.parse
from pathlib import Path

import dagster as dg
import pytest

from bioicons_pipeline_tests import s3_servers
from bioicons_pipeline_tests.orchestration import test_ecs
from bioicons_pipeline_tests.project.template import BUCKET, allowed, load, statements

image = test_ecs.image  # a fixture


def action_of(method: str, path: str) -> tuple[str, str]:
    """The IAM action and resource of a request (S3, "Required permissions for API operations")."""
    place, _, query = path.partition("?")
    asked = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    key = urllib.parse.unquote(place.lstrip("/")).partition("/")[2]
    if not key:
        assert method == "GET" and ("uploads" in asked or asked.get("list-type") == "2"), path
        return "s3:ListBucketMultipartUploads" if "uploads" in asked else "s3:ListBucket", BUCKET
    resource = f"{BUCKET}/{key.replace('some/prefix/', 'bioicons/', 1)}"
    if method == "DELETE":
        return ("s3:AbortMultipartUpload" if "uploadId" in asked else "s3:DeleteObject"), resource
    return {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "POST": "s3:PutObject"}[
        method
    ], resource


@pytest.mark.parametrize("fault", ["", pytest.param("spot warning at 4", marks=pytest.mark.slow)])
def test_a_training_needs_no_more_than_it_may(
    fault, s3_endpoint, s3_root, tmp_path, image: Path, monkeypatch
):
    """With its checkpoints; in the long version also a spot warning, and a second host that goes on."""
    made = test_ecs.Cloud(s3_root, tmp_path, image, monkeypatch, [fault])
    proxy = s3_servers.FaultyProxy(s3_endpoint)
    made.ecs._environment["AWS_ENDPOINT_URL"] = proxy.endpoint
    try:
        result = made.train(dg.DagsterInstance.ephemeral())
    finally:
        proxy.close()
    assert result.success, made.ecs.logs()
    rules = statements(load(), "TrainerTaskRole")
    needed = {action_of(*one.split(" ", 1)) for one in proxy.seen}
    needed -= {
        ("s3:ListBucketMultipartUploads", BUCKET)
    }  # tidying up, which it does without where it may not
    assert len(needed) > 20, needed
    folders = {(action, resource.split("/")[2]) for action, resource in needed if "/" in resource}
    assert {("s3:PutObject", part) for part in ("blobs", "versions", "refs", "pipes")} <= folders
    assert [one for one in sorted(needed) if not allowed(rules, *one)] == []
    # a missing object is told from a forbidden one
    assert allowed(rules, "s3:ListBucket", BUCKET)


@pytest.mark.parametrize(
    ("request_line", "right"),
    [
        ("PUT /b/some/prefix/leases/x.json", ("s3:PutObject", f"{BUCKET}/bioicons/leases/x.json")),
        ("DELETE /b/some/prefix/blobs/x", ("s3:DeleteObject", f"{BUCKET}/bioicons/blobs/x")),
        ("GET /b?list-type=2&prefix=some", ("s3:ListBucket", BUCKET)),
    ],
)
def test_requests_are_read_as_rights(request_line, right):
    assert action_of(*request_line.split(" ", 1)) == right
