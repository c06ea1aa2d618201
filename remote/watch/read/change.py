"""Measures how long something has not changed, by the monotonic clock instead of its time stamps."""

from typing import Any, Dict, Optional, Tuple


class Changes:
    """Time stamps by name. A clock that is set changes no stamp, so it causes neither use nor idleness."""

    def __init__(self) -> None:
        self._seen: Dict[str, Tuple[Any, Optional[float]]] = {}  # name -> (stamp, mono of its last change)

    def quiet(self, name: str, stamp: Any, *, mono: float, age: Optional[float]) -> Optional[float]:
        """Seconds since the stamp changed; for a new name its `age` by the wall clock.

        None (unknown) if that age is negative: the clock was set back.
        """
        if name not in self._seen:
            known = age is not None and age >= -1.0
            self._seen[name] = (stamp, mono - max(0.0, age or 0.0) if known else None)
        elif self._seen[name][0] != stamp:
            self._seen[name] = (stamp, mono)
        changed = self._seen[name][1]
        return None if changed is None else max(0.0, mono - changed)

    def keep_only(self, names: Any) -> None:
        """Forget all other names, to bound the memory and to start afresh if a name is reused."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
