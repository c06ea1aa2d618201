"""How long something has stood still, told by seeing it change and not by the clock that stamped it."""

from typing import Any, Dict, Optional, Tuple


class Changes:
    """Stamps by name. A clock set forward or back moves no stamp, so it makes nobody active or idle."""

    def __init__(self) -> None:
        self._seen: Dict[str, Tuple[Any, Optional[float]]] = {}  # name -> (stamp, mono of its last change)

    def quiet(self, name: str, stamp: Any, *, mono: float, age: Optional[float]) -> Optional[float]:
        """Seconds since the stamp changed. Seen for the first time: `age` by the wall clock.

        None (not in living memory) when that age lies in the future: the clock was set back since.
        """
        if name not in self._seen:
            known = age is not None and age >= -1.0
            self._seen[name] = (stamp, mono - max(0.0, age or 0.0) if known else None)
        elif self._seen[name][0] != stamp:
            self._seen[name] = (stamp, mono)
        changed = self._seen[name][1]
        return None if changed is None else max(0.0, mono - changed)

    def keep_only(self, names: Any) -> None:
        """Forget what is gone, so that the memory stays bounded and a name used again starts anew."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
