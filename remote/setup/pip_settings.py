"""Passes the machine's pip settings (mirrors, certificates) to uv, which does not read them.

Sources: https://pip.pypa.io/en/stable/topics/configuration/ and https://docs.astral.sh/uv/reference/environment/
"""

import configparser
import os
import sys
from pathlib import Path
from typing import Dict, List

# uv has no variable for it: https://docs.astral.sh/uv/reference/settings/#no-index
_NO_INDEX = Path(__file__).resolve().with_name("no_index.toml")
_KEYS = ("index-url", "extra-index-url", "find-links", "cert", "trusted-host", "no-index")


def read() -> Dict[str, str]:
    """pip's settings by name. Later sources override: files by precedence, then PIP_* variables."""
    settings: Dict[str, str] = {}
    for path in _files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(str(path), encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip will report it
        for section in ("global", "install"):
            if parser.has_section(section):
                settings.update({k: v for k, v in parser.items(section) if k in _KEYS})
    for key in _KEYS:
        value = os.environ.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            settings[key] = value
    return {key: " ".join(value.split()) for key, value in settings.items() if value.split()}


def uv_environment(settings: Dict[str, str]) -> Dict[str, str]:
    """The settings as uv's environment variables, without those that the user has set."""
    env = {}
    if "index-url" in settings:
        env["UV_DEFAULT_INDEX"] = settings["index-url"]
    if "extra-index-url" in settings:
        env["UV_INDEX"] = settings["extra-index-url"]
        # pip uses the best version of all indexes; uv by default the first index that has the package.
        env["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if "find-links" in settings:
        env["UV_FIND_LINKS"] = ",".join(settings["find-links"].split())
    if "cert" in settings:
        env["SSL_CERT_FILE"] = settings["cert"]
    if "trusted-host" in settings:
        env["UV_INSECURE_HOST"] = settings["trusted-host"]
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        env["UV_CONFIG_FILE"] = str(_NO_INDEX)
    return {name: value for name, value in env.items() if name not in os.environ}


def find_links() -> List[str]:
    """Folders and pages with wheels, from uv's or pip's settings."""
    own = os.environ.get("UV_FIND_LINKS", "").replace(",", " ").split()
    return own or read().get("find-links", "").split()


def _files() -> List[Path]:
    home = Path.home()
    config_home = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    config_dirs = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    files = [Path(folder) / "pip" / "pip.conf" for folder in config_dirs]
    files += [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", config_home / "pip" / "pip.conf"]
    files.append(Path(sys.prefix) / "pip.conf")
    chosen = os.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    return files + ([Path(chosen)] if chosen else [])
