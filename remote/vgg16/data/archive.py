"""Zip files, and zip files in zip files, unpacked into a folder and nowhere else."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from vgg16 import BadData
from vgg16.files import refuse_special


class DamagedArchive(BadData):
    """A zip file cannot be read to its end. A new download may be whole."""


def unpack(archive: Path, to: Path, *, rename: Callable[[PurePosixPath], Path | None]) -> int:
    """Returns the number of files. rename: a member's name -> its place under `to`, or None to leave it out.

    Raises DamagedArchive, or BadData: no such file, or a member that would land outside of `to` (then nothing
    of this zip is unpacked).
    """
    try:
        with zipfile.ZipFile(refuse_special(archive)) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            for member in members:
                _refuse_escape(archive, member)
            count = 0
            for member in members:
                if member.filename.lower().endswith(".zip"):
                    count += _unpack_inner(opened, member, to, rename)
                    continue
                place = rename(PurePosixPath(member.filename))
                if place is not None:
                    _extract(opened, member, to / place)
                    count += 1
            return count
    except FileNotFoundError:
        raise BadData(f"{archive}: no such file") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # The last two: a kind of compression, or a password, that Python's zipfile does not know.
        raise DamagedArchive(f"{archive}: damaged, or no zip file that can be read ({error})") from None


def _unpack_inner(
    opened: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    to: Path,
    rename: Callable[[PurePosixPath], Path | None],
) -> int:
    """Extract it first: a zip inside a compressed zip can only be read forwards."""
    inner = to / f".inner-{PurePosixPath(member.filename).name}"
    try:
        _extract(opened, member, inner)
        return unpack(inner, to, rename=rename)
    finally:
        inner.unlink(missing_ok=True)


def _refuse_escape(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    link = stat.S_ISLNK(member.external_attr >> 16)
    drive = any(":" in part for part in path.parts[:1])
    if path.is_absolute() or ".." in path.parts or drive or link:
        raise BadData(f"{archive}: refused: its member {member.filename!r} would leave the folder")


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with opened.open(member) as source, place.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except FileExistsError:
        raise BadData(
            f"{opened.filename}: {place.name} comes twice: two versions of the data at once?"
        ) from None
