"""Reading and writing of photos.

PNG, JPEG and TIFF are distinguished by their first bytes on reading and by their suffix on writing.
The codecs are in ``png``, ``jpeg`` and ``tiff``.
"""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from unfold._files import replace_file
from unfold.imaging import jpeg, png, tiff
from unfold.imaging.photo import ImageError, Photo
from unfold.imaging.raster import Raster

__all__ = ["SUFFIXES", "ImageError", "Photo", "find_photos", "read", "size_of", "write"]

_Read = TypeVar("_Read")

SIGNATURES = {
    png.SIGNATURE: png,
    b"\xff\xd8\xff": jpeg,
    b"II*\0": tiff,
    b"MM\0*": tiff,
    b"II+\0": tiff,
    b"MM\0+": tiff,
}
SUFFIXES = {".png": png, ".jpg": jpeg, ".jpeg": jpeg, ".tif": tiff, ".tiff": tiff}
TOP = {8: 255.0, 16: 65535.0}
MAX_PIXELS = 200_000_000  # more is taken for a header that lies


def read(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read the photo in a PNG, JPEG or TIFF file, upright.

    8- and 16-bit samples keep their precision: ``write`` reproduces them exactly. Of several pages
    or frames, the first is read. CMYK is converted to RGB by the plain formula, without its
    profile.

    Raises ImageError, with a one-line message that names the file, if the file is not a complete
    photo. It is raised before decoding if the photo has more than ``max_pixels`` pixels, or more
    than the file can contain. Time and memory are proportional to the file and its pixels.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, read, write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder, "photo.png"), Photo(torch.full((3, 8, 16), 51 / 255)))
        ...     photo = read(Path(folder, "photo.png"))
        >>> photo.image.shape, round(photo.image.mean().item(), 4), photo.bits
        (torch.Size([3, 8, 16]), 0.2, 8)
    """
    return decode(path, contents(path)[0], max_pixels=max_pixels)


def contents(path: str | os.PathLike[str]) -> tuple[bytes, os.stat_result]:
    """The bytes of a file and its status at the same time. Raises ImageError."""
    with _blaming(path, "read", "check the path and its permissions"):
        return _contents(Path(path))


def decode(path: str | os.PathLike[str], data: bytes, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """The photo in the bytes of a file, like `read`. The path is used in messages."""
    with _blaming(path, "read", "check the path and its permissions"):
        codec = _codec_of(data)
    with _blaming(
        path, "decoded", "it is damaged; copy or download it again, or convert it to PNG"
    ):
        return _photo(_quietly(codec.decode, data, max_pixels))


def size_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) of the photo in a file, upright, without decoding it.

    Raises ImageError, with one line without the path, if the file does not exist, is not a photo,
    or is truncated. (Damage of the data is only found by decoding.)

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, size_of, write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder, "photo.png"), Photo(torch.rand(3, 8, 16)))
        ...     size_of(Path(folder, "photo.png"))
        (16, 8)
    """
    with _blaming("", "read", "copy or download it again"):
        status = Path(path).stat()
        _check_file(status)
        with open(path, "rb") as file:
            codec = _codec_of(file.read(8))
            file.seek(0)
            with _blaming("", "understood", "its header is damaged; copy or download it again"):
                width, height, orientation = _quietly(
                    codec.read_size, file, status.st_size, MAX_PIXELS
                )
    return (height, width) if orientation >= 5 else (width, height)


def write(path: str | os.PathLike[str], photo: Photo) -> None:
    """Write a photo as PNG, JPEG or TIFF, by the suffix of ``path``.

    Samples are clipped to [0, 1] and rounded to ``photo.bits`` bits. A ``gray`` photo is written as
    one channel, the mean of the three. JPEG always has 8 bits and no alpha, which gives a warning.
    The file is written atomically.

    Raises ImageError, with a one-line message that names the file, if the suffix is unknown, the
    tensors are not a photo, or the file cannot be written.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, read, write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     image = torch.tensor([-0.5, 0.5, 1.5]).view(3, 1, 1)
        ...     write(Path(folder, "photo.tiff"), Photo(image, bits=16))
        ...     read(Path(folder, "photo.tiff")).image.flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """
    data = encode(path, photo)
    with writing(path):
        replace_file(destination(path), data)


def encode(path: str | os.PathLike[str], photo: Photo) -> bytes:
    """The bytes of the file that `write` writes. Raises ImageError like `write`."""
    with writing(path):
        codec = _codec_for(Path(path))
        _check(photo)
        if codec is jpeg and photo.alpha is not None:
            warnings.warn(
                f"{path}: JPEG has no alpha channel; the alpha channel is dropped", stacklevel=3
            )
        planes = samples(photo, jpeg_limits=codec is jpeg)
        icc = photo.icc if profile_fits(photo.icc, photo.gray) else None
        return codec.encode(planes, icc)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check the name and the folder of a photo that is to be written after a computation.

    Raises:
        ImageError: if its suffix is unknown, or there is no such folder.

    Example:
        >>> from unfold.imaging.io import check_writable
        >>> check_writable("restored.xyz")
        Traceback (most recent call last):
            ...
        unfold.imaging.photo.ImageError: restored.xyz: the suffix must be one of .png, .jpg, ...
    """
    with writing(path):
        _codec_for(Path(path))
        destination(path)


def writing(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """A context that converts errors to an ImageError: ``path`` cannot be written."""
    return _blaming(path, "written", "check the folder, its permissions and the free space")


def find_photos(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The photos in files and folders, in the given order.

    Files with any suffix are kept. Folders are searched recursively, in sorted order, for the
    suffixes that ``read`` supports. Hidden entries are ignored, and a folder with several links is
    searched once.

    Raises ImageError if a path does not exist or a folder contains no photos.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, find_photos, write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder, "b.jpg"), Photo(torch.rand(3, 8, 8)))
        ...     write(Path(folder, "a.png"), Photo(torch.rand(3, 8, 8)))
        ...     _ = Path(folder, "notes.txt").write_text("no photo")
        ...     [path.name for path in find_photos([folder])]
        ['a.png', 'b.jpg']
    """
    found: list[Path] = []
    for path in map(Path, paths):
        with _blaming(path, "searched", "check the path and its permissions"):
            if not stat.S_ISDIR(path.stat().st_mode):
                found.append(path)
                continue
            inside = sorted(_walk(path))
            if not inside:
                kinds = ", ".join(SUFFIXES)
                raise ImageError(f"no photos in this folder; supported files are {kinds}")
            found += inside
    return found


@contextlib.contextmanager
def _blaming(path: object, done: str, remedy: str) -> Iterator[None]:
    """A context that converts every error to an ImageError of one line that starts with the
    path."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, Warning):
        raise
    except ImageError as error:
        raise ImageError(f"{path}: {error}" if path else str(error)) from error.__cause__
    except BaseException as error:  # a panic in Rust is no Exception
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = " ".join(said.split()) or type(error).__name__
        said = f"cannot be {done} ({reason}); {remedy}"
        raise ImageError(f"{path}: {said}" if path else said) from error


def _contents(path: Path) -> tuple[bytes, os.stat_result]:
    """Raises ImageError if it is not a regular file, is empty, or changes meanwhile."""
    _check_file(path.stat())
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        data = file.read()
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ImageError("the file was changed while it was read; try again")
    return data, after


def _check_file(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageError("this is a folder; name a file in it")
    if not stat.S_ISREG(status.st_mode):  # reading from a pipe might never end
        raise ImageError("this is not a regular file; copy its content into one")
    if not status.st_size:
        raise ImageError("the file is empty; copy or download it again")


def _codec_of(start: bytes) -> ModuleType:
    codec = next((codec for sign, codec in SIGNATURES.items() if start.startswith(sign)), None)
    if codec is None:
        raise ImageError("not a PNG, JPEG or TIFF file; convert it to PNG")
    return codec


def _quietly(function: Callable[..., _Read], *arguments: Any) -> _Read:
    with warnings.catch_warnings():  # Pillow's, about metadata
        warnings.simplefilter("ignore")
        return function(*arguments)


def _photo(raster: Raster) -> Photo:
    samples = raster.upright()
    bits = 8 * samples.itemsize
    gray = samples.shape[2] < 3
    values = np.ascontiguousarray(samples.transpose(2, 0, 1), np.float32)
    planes = torch.from_numpy(values).div_(TOP[bits])
    colors = 1 if gray else 3
    image, alpha = planes[:colors], planes[colors:]
    return Photo(
        image=image.repeat(3, 1, 1) if gray else image,
        alpha=alpha if len(alpha) else None,
        gray=gray,
        bits=bits,
        icc=raster.icc if profile_fits(raster.icc, gray) else None,
    )


def profile_fits(icc: bytes | None, gray: bool) -> bool:
    """Whether an ICC profile is for this number of channels (that of CMYK is not for RGB)."""
    return bool(icc) and icc[16:20] == (b"GRAY" if gray else b"RGB ")


def _codec_for(path: Path) -> ModuleType:
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        have = path.suffix or "none"
        raise ImageError(f"the suffix must be one of {', '.join(SUFFIXES)}, got {have}") from None


def _check(photo: Photo) -> None:
    """Raises ImageError if the tensors are not a photo."""
    if photo.bits not in TOP:
        raise ImageError(f"bits must be 8 or 16, got {photo.bits}; set one of them")
    _check_planes("image", photo.image, 3)
    if photo.alpha is not None:
        _check_planes("alpha", photo.alpha, 1)
        if photo.alpha.shape[1:] != photo.image.shape[1:]:
            have, want = tuple(photo.alpha.shape[1:]), tuple(photo.image.shape[1:])
            raise ImageError(f"alpha is {have} and image {want}; resize alpha, or set it to None")


def _check_planes(name: str, planes: Tensor, channels: int) -> None:
    shape = tuple(planes.shape)
    if len(shape) != 3 or shape[0] != channels or 0 in shape:
        raise ImageError(
            f"{name} must be ({channels}, H, W), got {shape}; pass one picture, channels first"
        )
    if planes.dtype != torch.float32:
        raise ImageError(
            f"{name} must be float32 in [0, 1], got {planes.dtype}; convert and scale it"
        )
    if not all(bound.isfinite() for bound in planes.aminmax()):  # (no copy of a large photo)
        raise ImageError(f"{name} has NaN or infinite values; correct the computation")


def samples(photo: Photo, *, jpeg_limits: bool = False) -> np.ndarray:
    """(H, W, C) uint8 or uint16 samples of a photo."""
    bits = 8 if jpeg_limits else photo.bits
    image = photo.image.detach().cpu()
    planes = [image.mean(0, keepdim=True) if photo.gray else image]
    if photo.alpha is not None and not jpeg_limits:
        planes.append(photo.alpha.detach().cpu())
    values = torch.cat(planes).clamp_(0, 1).mul_(TOP[bits]).round_()  # one copy: it may be large
    kind = np.uint8 if bits == 8 else np.uint16
    return np.ascontiguousarray(values.permute(1, 2, 0).numpy().astype(kind))


def destination(path: str | os.PathLike[str]) -> Path:
    """The file to write for a path. Raises ImageError if it cannot be a file."""
    target = Path(os.path.realpath(path))  # a link is kept, its target is written
    if not target.parent.is_dir():
        raise ImageError(f"there is no folder {target.parent}; create it first")
    if target.is_dir():
        raise ImageError("this is a folder; name a file in it")
    return target


def _walk(folder: Path) -> Iterator[Path]:
    """Photos below a folder. Links are followed, but no folder is entered twice, and no parent
    folder."""

    def fail(error: OSError) -> None:
        raise error

    seen = {str(above) for above in Path(os.path.realpath(folder)).parents}
    # Links come last: a folder that is also reached through one keeps its own path.
    pending = [folder]
    while pending:
        for here, folders, files in os.walk(pending.pop(0), onerror=fail):
            real = os.path.realpath(here)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            pending += [Path(here, f) for f in folders if os.path.islink(os.path.join(here, f))]
            for name in files:
                if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                    yield Path(here) / name
