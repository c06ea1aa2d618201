"""The host's settings in an nspawn machine, so that apt, pip and uv work in it as they do outside.

Read from the host each time a machine starts: the proxy on its loopback, the host's certificates, pip's
mirrors, and, read-only, the local package folders that these name.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from local_aws.machines.nspawn.proxy import PORT

_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_BUNDLES = (_BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")
_PIP_KEYS = ("index-url", "extra-index-url", "find-links", "trusted-host", "no-index")


def lend(root: Path) -> list[Path]:
    """Write the settings below `root`. Returns the host's folders to bind read-only at the same path."""
    if bundle := _bundle():
        _write(root / _BUNDLE[1:], bundle.read_bytes())
    pip = _pip_settings()
    lines = "".join(f"{key} = {value}\n" for key, value in pip.items())
    _write(root / "etc/pip.conf", f"[global]\ncert = {_BUNDLE}\n{lines}".encode())
    variables = _variables()
    _write(root / "etc/environment", "".join(f'{k}="{v}"\n' for k, v in variables.items()).encode())
    # What systemd starts does not go through PAM, which reads /etc/environment.
    services = " ".join(f'"{k}={v}"' for k, v in variables.items() if k != "PATH")
    _write(
        root / "etc/systemd/system.conf.d/lent.conf", f"[Manager]\nDefaultEnvironment={services}\n".encode()
    )
    return [path for path in _local_paths(pip) if path.exists()]


def _variables() -> dict[str, str]:
    proxy = f"http://127.0.0.1:{PORT}"
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        **{name: proxy for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")},
        **{name: "localhost,127.0.0.1" for name in ("no_proxy", "NO_PROXY")},
        **{name: _BUNDLE for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")},
    }


def _bundle() -> Path | None:
    for candidate in (os.environ.get("SSL_CERT_FILE"), *_BUNDLES):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None


def _pip_settings() -> dict[str, str]:
    """Settings from the least to the most specific file, then from PIP_* variables: pip's own order."""
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", config / "pip/pip.conf"]
    if chosen := os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(chosen))
    parser = configparser.RawConfigParser()
    parser.read(files, encoding="utf-8")
    found = {
        key: value
        for section in ("global", "install")
        if parser.has_section(section)
        for key, value in parser.items(section)
        if key in _PIP_KEYS
    }
    for key in _PIP_KEYS:
        if value := os.environ.get(f"PIP_{key.upper().replace('-', '_')}"):
            found[key] = value
    return {key: " ".join(value.split()) for key, value in found.items()}


def _local_paths(pip: Mapping[str, str]) -> list[Path]:
    """Absolute paths and file: URLs of pip's package sources; for an index, the folder around it.

    The pages of an index (PEP 503) commonly link to files in a folder beside them.
    """
    indexes = [_local_path(p) for key in ("index-url", "extra-index-url") for p in pip.get(key, "").split()]
    links = [_local_path(place) for place in pip.get("find-links", "").split()]
    around = [path.parent if len(path.parts) > 2 else path for path in indexes if path]
    return list(dict.fromkeys([*around, *(path for path in links if path)]))


def _local_path(place: str) -> Path | None:
    path = Path(unquote(urlsplit(place).path) if place.startswith("file:") else place)
    return path if path.is_absolute() else None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
