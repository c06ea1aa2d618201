"""Writes safely into one folder (remote/sync/inside.py), used by `pull` on the laptop.

One implementation serves both directions. It is loaded from remote/, which is not a package of ours.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from gpu_box import resources

if TYPE_CHECKING:
    from sync.inside import Folder as Folder
    from sync.inside import is_normal as is_normal
    from sync.inside import is_printable as is_printable
    from sync.inside import leads_inside as leads_inside
else:
    _spec = importlib.util.spec_from_file_location(
        "gpu_box.machine._inside", resources.remote() / "sync" / "inside.py"
    )
    _inside = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_inside)
    Folder = _inside.Folder
    is_normal, is_printable, leads_inside = _inside.is_normal, _inside.is_printable, _inside.leads_inside
