"""Used at both ends: writing safely into one folder (remote/sync/inside.py), a digest of a folder (tree.py).

It is loaded from remote/, which is not a package of ours.
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
    from sync.tree import Find as Find
else:

    def _load(name):
        file = resources.remote() / "sync" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"gpu_box.machine._{name}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    _inside = _load("inside")
    Folder = _inside.Folder
    is_normal, is_printable, leads_inside = _inside.is_normal, _inside.is_printable, _inside.leads_inside
    Find = _load("tree").Find
