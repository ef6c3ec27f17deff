"""What the doctor finds out about a store on S3, by writing one small object there and deleting it again.

Belongs here: what only a try can tell of a server. Does not belong here: how objects are written (store).
"""

import secrets

from bioicons_pipeline.doctor_findings import Finding
from bioicons_pipeline.store import Store, StoreError


def conditional_writes(root: str) -> Finding:
    """Whether the server at `root` honours conditions on writes, which leases rest on: not all that speak S3
    do (`rclone serve s3` ignores them and says nothing)."""
    key = f"leases/doctor-{secrets.token_hex(8)}.json"
    try:
        backend = Store(root).backend
        try:
            first, second = (backend.write_if(key, data, None) for data in (b"1", b"2"))
        finally:
            backend.delete(key)
    except StoreError as error:
        return Finding(
            "store", "problem", f"{root} cannot be used", str(error), "See the sentence before this."
        )
    if not first or second:
        return Finding(
            "store", "problem", f"{root} ignores conditions on writes",
            "two trainings of the same adapter would not notice each other",
            "Use a server that knows conditional writes, as S3 does, or never start two trainings at once.",
        )  # fmt: skip
    return Finding("store", "ok", root, "it honours conditional writes, which leases need")
