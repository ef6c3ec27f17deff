"""Encoded images and captions on disk, so that training runs no encoder.

Belongs here: keys, files, and filling them. Does not belong here: which of them a step needs (data).

One file per entry, named by what it is: an image by (icon_id, SHA-256 of its PNG, size, VAE), a caption
by (text, T5 length, text encoders). Never by position: the reference script reads latents by step from a
pass that was shuffled differently, and trains almost every image with another's caption.
Each file repeats its key in its safetensors header and is checked against it when read, so a file
that was moved or renamed is refused instead of trained on. Entries are written whole or not at all, so
two runs may share a folder.

An image is stored as mean and standard deviation of the VAE's posterior; every step draws anew. Entries
are encoded one by one: their bytes then do not depend on what else was in a batch.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bioicons_pipeline.training.buckets import Size, bucket_of, drawn_bounds, into_bucket
from bioicons_pipeline.training.config import canonical_json
from bioicons_pipeline.training.data import Icon, IconSet
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.header import safetensors_metadata
from bioicons_pipeline.training.objective import Conditioning
from bioicons_pipeline.whole import replace_whole

Progress = Callable[[int, int], None]

PREPROCESSING = 1
"""Raised when the way from PNG to VAE input changes."""
CROPPING = 1
"""Raised when what is measured and cropped for a bucket changes."""


@dataclass(frozen=True)
class EncodingCache:
    """Cache below `folder` for one base and one resolution and T5 length; cheap to make."""

    folder: Path
    base: str
    """Fingerprint of the base model whose encoders fill the cache."""
    resolution: int
    t5_length: int

    # --- keys ---

    def image_key(self, icon: Icon) -> dict[str, Any]:
        """What an image entry is of: the icon, its picture's content, and every setting of the encoding."""
        key = {
            "kind": "image",
            "icon_id": icon.icon_id,
            "content": icon.content,
            "resolution": self.resolution,
            "preprocessing": PREPROCESSING,
            "base": self.base,
        }
        return key if icon.size is None else {**key, "size": list(icon.size), "cropping": CROPPING}

    def bounds_key(self, icon: Icon) -> dict[str, Any]:
        """What an entry of a drawing's bounds is of; no encoder has a part in it."""
        return {"kind": "bounds", "icon_id": icon.icon_id, "content": icon.content, "cropping": CROPPING}

    def text_key(self, caption: str) -> dict[str, Any]:
        """What a caption entry is of: the text, the padded length and the base's text encoders."""
        return {"kind": "text", "caption": caption, "t5_length": self.t5_length, "base": self.base}

    def path(self, key: dict[str, Any]) -> Path:
        """File of the entry with this key."""
        return self._path(key["kind"], canonical_json(key))

    def _path(self, kind: str, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / kind / name[:2] / f"{name}.safetensors"

    # --- reading ---

    def load_image(self, icon: Icon) -> tuple[Tensor, Tensor]:
        """Mean and std of the posterior, unscaled; each (16, height/8, width/8) fp32."""
        entry = self._load(self.image_key(icon))
        return entry["mean"], entry["std"]

    def load_text(self, caption: str) -> tuple[Tensor, Tensor]:
        """T5 hidden states (t5_length, d) and pooled CLIP embedding (p,), in the encoders' own type."""
        entry = self._load(self.text_key(caption))
        return entry["t5"], entry["pooled"]

    def load_texts(self, captions: Sequence[str]) -> Conditioning:
        """The conditioning of a batch, in the order of `captions`."""
        pairs = [self.load_text(caption) for caption in captions]
        return Conditioning(
            torch.stack([t5 for t5, _ in pairs]), torch.stack([pooled for _, pooled in pairs])
        )

    def _load(self, key: dict[str, Any]) -> dict[str, Tensor]:
        # Twice for each sample of a step. One read of the small file takes a quarter of the time that
        # safe_open and a call for each tensor do.
        text = canonical_json(key)
        path = self._path(key["kind"], text)
        try:
            data = path.read_bytes()
            said, tensors = safetensors_metadata(data).get("key"), load(data)
        except (OSError, SafetensorError, TrainingError) as error:
            raise TrainingError(
                f"The cache entry {path} is missing or damaged: run again, it is encoded anew."
            ) from error
        if said != text:
            raise TrainingError(
                f"The cache entry {path} is of something else than its name says: delete the folder "
                f"{self.folder} and run again."
            )
        return tensors

    def _has(self, key: dict[str, Any]) -> bool:
        try:
            self._load(key)
        except TrainingError:
            return False
        return True

    # --- filling ---

    def missing_images(self, icons: Iterable[Icon]) -> set[str]:
        """icon_ids without a sound entry."""
        return {icon.icon_id for icon in icons if not self._has(self.image_key(icon))}

    def missing_captions(self, captions: Iterable[str]) -> list[str]:
        """Captions without a sound entry, sorted."""
        return sorted(caption for caption in set(captions) if not self._has(self.text_key(caption)))

    def fill_images(
        self, icon_set: IconSet, wanted: set[str], vae: Any, progress: Progress | None = None
    ) -> None:
        """Encode the pictures of the icon_ids in `wanted`; `vae` is fp32 on its device.

        Raises:
            TrainingError: a picture cannot be decoded, or the VAE's output is not finite.
        """
        device = next(vae.parameters()).device
        for done, (icon, png) in enumerate(icon_set.pictures(wanted), start=1):
            pixels = decode_png(png, self.resolution, icon.icon_id, icon.size).to(device)
            with torch.inference_mode(), torch.autocast(device.type, enabled=False):
                posterior = vae.encode(pixels[None]).latent_dist
            entry = {"mean": posterior.mean[0], "std": posterior.std[0]}
            if not all(bool(torch.isfinite(tensor).all()) for tensor in entry.values()):
                raise TrainingError(
                    f"The VAE's encoding of icon {icon.icon_id} is not finite: exclude the icon."
                )
            self._save(self.image_key(icon), entry)
            if progress:
                progress(done, len(wanted))

    def in_buckets(self, icon_set: IconSet, progress: Progress | None = None) -> IconSet:
        """The set with every icon's bucket; each picture is measured once and its bounds remembered.

        Raises:
            TrainingError: a picture cannot be decoded.
        """
        wanted = {icon.icon_id for icon in icon_set.icons if not self._has(self.bounds_key(icon))}
        for done, (icon, png) in enumerate(icon_set.pictures(wanted), start=1):
            found = drawn_bounds(open_png(png, icon.icon_id)) or (0, 0, 0, 0)
            self._save(self.bounds_key(icon), {"bounds": torch.tensor(found)})
            if progress:
                progress(done, len(wanted))
        sized = []
        for icon in icon_set.icons:
            left, top, right, bottom = self._load(self.bounds_key(icon))["bounds"].tolist()
            bounds = (left, top, right, bottom) if right > left else None
            sized.append(replace(icon, size=bucket_of(bounds, self.resolution)))
        return replace(icon_set, icons=tuple(sized))

    def fill_texts(
        self,
        captions: Sequence[str],
        encode: Callable[[str, int], tuple[Tensor, Tensor]],
        progress: Progress | None = None,
    ) -> None:
        """Encode `captions`; `encode(text, t5_length)` gives (T5 states (T, d), pooled (p,))."""
        for done, caption in enumerate(captions, start=1):
            t5, pooled = encode(caption, self.t5_length)
            self._save(self.text_key(caption), {"t5": t5, "pooled": pooled})
            if progress:
                progress(done, len(captions))

    def _save(self, key: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        replace_whole(self.path(key), save(plain, metadata={"key": canonical_json(key)}))


def decode_png(png: bytes, resolution: int, icon_id: str, size: Size | None = None) -> Tensor:
    """PNG → (3, height, width) fp32 in [-1, 1]; transparency on white; resized where it differs.

    size: (height, width) of a bucket, into which the drawing is cropped; None: the whole, as the square of
    `resolution`.

    Raises:
        TrainingError: the bytes are no picture.
    """
    picture = open_png(png, icon_id)
    if size is not None:
        picture = into_bucket(picture, size)
    elif picture.size != (resolution, resolution):
        picture = picture.resize((resolution, resolution), Image.Resampling.LANCZOS)
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    pixels = pixels.reshape(picture.height, picture.width, 3).permute(2, 0, 1)
    return pixels.to(torch.float32) / 127.5 - 1.0


def open_png(png: bytes, icon_id: str) -> Image.Image:
    """PNG → RGB picture, transparency on white.

    Raises:
        TrainingError: the bytes are no picture.
    """
    try:
        with Image.open(io.BytesIO(png)) as opened:
            picture = opened.convert("RGBA") if opened.mode != "RGB" else opened.copy()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise TrainingError(
            f"The picture of icon {icon_id} cannot be read ({error}): render it again."
        ) from error
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    return picture


def json_bytes(value: Any) -> bytes:
    """`value` as readable JSON with sorted keys; equal values give equal bytes."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as `json_bytes`, atomically."""
    replace_whole(path, json_bytes(value))
