"""What a safetensors file says of itself, read without torch.

Belongs here: the header. Does not belong here: tensors, and what we write into the header (export).
The format: 8 bytes of little-endian header length, then JSON, then the tensors
(https://huggingface.co/docs/safetensors, "Format").
"""

import json
import math
import struct
from pathlib import Path

from bioicons_pipeline.training.errors import TrainingError

LONGEST = 100_000_000
"""Bytes of header above which the safetensors library itself refuses a file."""


def safetensors_metadata(data: bytes) -> dict[str, str]:
    """The `__metadata__` of the file, empty where it has none.

    Raises:
        TrainingError: it is no safetensors file, or it is cut off.
    """
    try:
        (length,) = struct.unpack("<Q", data[:8])
        if length > min(LONGEST, len(data) - 8):
            raise ValueError("cut off")
        header = json.loads(data[8 : 8 + length])
        said = header.pop("__metadata__", {})
        needed = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if needed != len(data) - 8 - length or not isinstance(said, dict):
            raise ValueError("cut off")
        return {str(key): str(value) for key, value in said.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingError(
            "The adapter file is damaged or no safetensors file: take it again from where it came, or train "
            "it again."
        ) from error


def parameters_in(folder: Path) -> int:
    """Values in all safetensors files of `folder`, read from their headers alone.

    Raises:
        ValueError: a file is none; says which.
    """
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, LONGEST)))
            shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
        except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder.name}/{path.name} is damaged") from error
        total += sum(math.prod(shape) for shape in shapes)
    return total
