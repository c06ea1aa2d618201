"""The user's home folder. Imports little: the Tab key waits for it."""

from __future__ import annotations

import os


def forget_empty_home() -> None:
    """HOME="" counts as unset: then everything expands ~ to the account's home folder, and not to /.

    Also of libraries and of programs that this process starts.
    """
    if os.environ.get("HOME") == "":
        del os.environ["HOME"]
