"""requirements.txt and the files that it includes by -r and -c, as uv finds them."""

import codecs
import os
import re
import shlex
from pathlib import Path
from typing import Dict, List
from urllib.parse import unquote, urlsplit

from setup import variables
from setup.desired import WORK

MOST_BYTES = 16 << 20
VARIABLE = re.compile(r"\$\{(\w+)\}")
INCLUDE = re.compile(
    r"^([ \t]*(?:--[a-z-]+[ \t]+)*(?:-r|-c|--requirement|--constraint)(?:=|\s+))([^#\n]*[^#\s])", re.MULTILINE
)


def text_of(path: Path) -> str:
    raw = path.read_bytes()[:MOST_BYTES]
    # PowerShell's `pip freeze >requirements.txt` writes UTF-16, which uv reads.
    utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = raw.decode("utf-16" if utf16 else "utf-8-sig", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def values() -> Dict[str, str]:
    """What uv puts in place of ${NAME}."""
    return {"PROJECT_ROOT": str(WORK), **os.environ, **variables.values()}


def expanded(text: str, by: Dict[str, str]) -> str:
    return VARIABLE.sub(lambda found: by.get(found.group(1), found.group(0)), text)


def included(by: Path, name: str) -> Path:
    """The file that INCLUDE's second group names in the file `by`: relative to its folder."""
    given = expanded(_unquoted(name), values())
    if given.lower().startswith("file:"):
        given = unquote(urlsplit(given).path)
    return Path(os.path.normpath(str(by.parent / given)))


def with_included(path: Path) -> List[Path]:
    """The file and those that it includes, each once. Addresses and missing files are left out."""
    found = [path]
    for each in found:  # grows meanwhile
        for _, name in INCLUDE.findall(text_of(each)):
            other = included(each, name)
            if other not in found and os.path.isfile(str(other)) and os.access(str(other), os.R_OK):
                found.append(other)
    return found


def _unquoted(name: str) -> str:
    words = shlex.shlex(name, posix=True)
    words.whitespace, words.commenters, words.whitespace_split = "", "", True
    try:
        return "".join(words)
    except ValueError:  # a quotation mark without a second one
        return name
