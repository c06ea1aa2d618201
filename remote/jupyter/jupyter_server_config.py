"""Configures JupyterLab on the box: loopback only, with a token from a file.

The token is in no command line and no environment, and Jupyter prints a configured token as "...".
"""

import os
import sys
from pathlib import Path

_FOLDER = Path.home() / ".gpu-box" / "jupyter"

c = get_config()  # noqa: F821 - Jupyter provides it
c.IdentityProvider.token = (_FOLDER / "token").read_text().strip()
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = int((_FOLDER / "port").read_text())
c.ServerApp.port_retries = 0  # fail instead of taking another port than the recorded one
c.ServerApp.open_browser = False
c.ServerApp.root_dir = str(Path.home() / "work")
c.ServerApp.allow_root = os.geteuid() == 0
# The tunnel's local end can have any port, so the browser can have any loopback origin.
c.ServerApp.local_hostnames = ["localhost", "127.0.0.1"]
# No requests for news or updates.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
# Saves what a kernel prints while its page is closed.
sys.path.insert(0, str(Path(__file__).parent))
try:
    import recorder
except Exception as error:  # of a Jupyter server that it does not fit: notebooks work without it
    print("gpu-box: output of closed pages is not saved:", error, file=sys.stderr)
else:
    c.ServerApp.jpserver_extensions = {recorder.__name__: True}
    c.ServerApp.kernel_websocket_connection_class = recorder.Connection
