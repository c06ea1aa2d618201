"""`--local` whatever AWS and proxies are set to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ..user import COMMAND

# localstack#8066, boto3#3179
ODD = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "AWS_ENDPOINT_URL": "nowhere",
    "AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:9",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_PROFILE": "absent",
    "AWS_DEFAULTS_MODE": "unknown",
    "AWS_RETRY_MODE": "never",
    "AWS_MAX_ATTEMPTS": "many",
    "AWS_CA_BUNDLE": "/nowhere",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_STS_REGIONAL_ENDPOINTS": "odd",
    "AWS_SDK_UA_APP_ID": "x" * 200,
}
FILE = "[default]\ndefaults_mode = unknown\nregion = mars\n[default]\nretry_mode = never\n"


def test_plan_and_ls_work_with_odd_settings(_own_home: Path, tmp_path: Path) -> None:
    (_own_home / ".aws").mkdir()
    for name in ("config", "credentials"):
        (_own_home / ".aws" / name).write_text(FILE)
    environment = {**os.environ, **ODD, "GPU_BOX_HOME": str(tmp_path / "home")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "--local", *words], env=environment, cwd=tmp_path, capture_output=True, text=True
        )

    try:
        for command in ("plan", "ls"):
            done = run(command)
            assert done.returncode == 0, done.stderr
    finally:
        run("local", "stop")
