"""Zip files unpacked into a folder, and nowhere else; what is there already is not unpacked again."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from vgg16.errors import BadData


def unpack(archive: Path, to: Path, *, rename: Callable[[PurePosixPath], Path | None]) -> int:
    """rename: a member's name -> its place under `to`, or None to leave it out. How many are there then.

    Raises BadData: no zip, damaged, or with a member that would land outside of `to` (then nothing is
    unpacked). A file whose size is right stays as it is, so a killed run goes on.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            for member in members:
                _refuse_escape(archive, member)
            count = 0
            for member in members:
                place = rename(PurePosixPath(member.filename))
                if place is not None:
                    _extract(opened, member, to / place)
                    count += 1
            return count
    except FileNotFoundError:
        raise BadData(f"{archive}: no such file") from None
    except (zipfile.BadZipFile, EOFError) as error:
        raise BadData(f"{archive}: damaged, or no zip file ({error})") from None


def _refuse_escape(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    link = stat.S_ISLNK(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or link:
        raise BadData(f"{archive}: refused: its member {member.filename!r} would leave the folder")


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path) -> None:
    if place.exists() and place.stat().st_size == member.file_size:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.new")
    with opened.open(member) as source, temporary.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    temporary.replace(place)
