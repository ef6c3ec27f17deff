"""store: every artifact of the pipeline, content-addressed, under one root.

Belongs here: blobs (bytes named by their SHA-256), versions (lists of blobs with paths, named by the hash
of the list) and refs (what an asset shows now). Layout under the root:

    blobs/<aa>/<sha256>              immutable
    versions/<version_id>.json       immutable
    refs/<asset>/<partition>.json    replaced as a whole, always last
    refs/<asset>/<base>/<partition>.json

Does not belong here: what the files mean, dagster, any other room. Nothing is ever pickled.

The scheme is git's (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects) without deltas. A reader
sees a complete version or none: it reaches blobs only through a version, and a version only through a
ref, and each was complete and on disk before the next was written.
"""

from bioicons_pipeline.store.errors import StoreError
from bioicons_pipeline.store.prune import Pruned
from bioicons_pipeline.store.records import BlobRef, Damage, FileEntry, Ref, Version
from bioicons_pipeline.store.store import Store

__all__ = ["BlobRef", "Damage", "FileEntry", "Pruned", "Ref", "Store", "StoreError", "Version"]
