"""JupyterLab on the box: on loopback alone, behind a token that only this file reads.

The token stands in no command line and no environment, and Jupyter prints a configured token as "...".
"""

import os
from pathlib import Path

_FOLDER = Path.home() / ".gpu-box" / "jupyter"

c = get_config()  # noqa: F821 - Jupyter provides it
c.IdentityProvider.token = (_FOLDER / "token").read_text().strip()
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = int((_FOLDER / "port").read_text())
c.ServerApp.port_retries = 0  # the port is recorded: no other may be taken silently
c.ServerApp.open_browser = False
c.ServerApp.root_dir = str(Path.home() / "work")
c.ServerApp.allow_root = os.geteuid() == 0
# The tunnel's local end may have any port, and so the browser any origin on loopback.
c.ServerApp.local_hostnames = ["localhost", "127.0.0.1"]
# A box asks nobody for news, and nobody on it is asked whether they want some.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
