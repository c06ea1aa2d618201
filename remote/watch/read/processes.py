"""CPU time and disk bytes of people's processes and of process trees, from /proc.

The kernel adds the CPU time and bytes of an ended process to the parent that reaps it. So a parent's growth
counts, minus what was already counted for its ended children.
"""

import os
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from ..sample import Rate
from .people import Kind, carries
from .text import shown

TICK = 1.0 / os.sysconf("SC_CLK_TCK")  # s
PTS_MAJOR = 136  # device numbers of pseudo-terminals (Documentation/admin-guide/devices.txt)
YOUNG = (
    60.0  # s after its start in which a process can still change its user or program (setuid, login, exec)
)
RECHECK = 8  # calls between two readings of a system process


class Usage(NamedTuple):
    """The use by all of people's processes since the previous call."""

    cpu: Rate  # cores
    disk: Rate  # bytes/s
    over: float  # s


class Use(NamedTuple):
    """The use by one process tree since the previous call."""

    cores: float
    bps: float
    pids: Set[int]


class Process:
    __slots__ = (
        *("start", "parent", "terminal", "uid", "name", "kind", "recheck"),
        *("cpu", "children", "bytes", "used", "moved", "carries", "chars", "taken", "given"),
    )

    def __init__(self) -> None:
        self.start = self.parent = self.terminal = self.uid = self.recheck = 0
        self.name = ""
        self.kind = Kind.SYSTEM
        self.cpu = self.children = 0.0  # s, its own and its reaped children's
        self.bytes: Optional[int] = None
        self.used = self.moved = 0.0  # since the previous call: s, bytes
        self.carries = False  # whether it is a transfer
        self.chars: Optional[Tuple[int, int]] = None  # bytes passed to read and write calls
        self.taken = self.given = 0  # the growth of these since the previous call


class Processes:
    """Reads /proc repeatedly. `classify(pid, uid, name)` returns a process's Kind."""

    def __init__(self, classify: Callable[[int, int, str], Kind]) -> None:
        self._classify = classify
        self._known: Dict[int, Process] = {}
        self._last: Optional[float] = None  # CLOCK_BOOTTIME, as start times are
        self._over = 0.0

    def look(self) -> Optional[Usage]:
        """The use by people's processes since the previous call; None at the first."""
        now = time_since_boot()
        before, self._known = self._known, {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                process = self._read(int(name), before.get(int(name)), now)
                if process is not None:
                    self._known[int(name)] = process
        self._settle(before)
        last, self._last = self._last, now
        if last is None or now <= last:
            return None
        self._over = now - last
        cores, worker = self._sum("used", Kind.WORK)
        bps, mover = self._sum("moved", Kind.WORK, Kind.ATTENDS)
        return Usage(Rate(cores, worker), Rate(bps, mover), self._over)

    def tree(self, pid: int) -> Use:
        """The use by this process and its descendants; zeros if it has ended."""
        children: Dict[int, List[int]] = {}
        for child, process in self._known.items():
            children.setdefault(process.parent, []).append(child)
        pids, ahead = set(), [pid] if pid in self._known else []
        while ahead:
            one = ahead.pop()
            pids.add(one)
            ahead += [child for child in children.get(one, []) if child not in pids]
        over = self._over or 1.0
        used = [self._known[one] for one in pids]
        return Use(sum(p.used for p in used) / over, sum(p.moved for p in used) / over, pids)

    def start(self, pid: int) -> Optional[float]:
        """The process's start in seconds since the kernel's boot; None if it has ended."""
        process = self._known.get(pid)
        return process.start * TICK if process else None

    def get(self, pid: int) -> Optional[Process]:
        return self._known.get(pid)

    def working(self) -> Dict[int, Process]:
        return {pid: process for pid, process in self._known.items() if process.kind is Kind.WORK}

    def ancestors(self, pid: int) -> List[int]:
        """The known ancestors, parent first."""
        found: List[int] = []
        process = self._known.get(pid)
        while process is not None and process.parent not in found:
            found.append(process.parent)
            process = self._known.get(process.parent)
        return found

    def people(self) -> List[int]:
        return [pid for pid, process in self._known.items() if process.kind is not Kind.SYSTEM]

    def terminals(self) -> Set[str]:
        """The pseudo-terminals ("pts/3") of people's processes."""
        found = set()
        for number in {self._known[pid].terminal for pid in self.people()}:
            major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
            if major >= PTS_MAJOR:
                found.add("pts/%d" % ((major - PTS_MAJOR) * 256 + minor))
        return found

    def _read(self, pid: int, known: Optional[Process], now: float) -> Optional[Process]:
        if known is not None and known.kind is Kind.SYSTEM and known.recheck > 0:
            known.recheck -= 1
            return known
        try:
            fields = _file(b"/proc/%d/stat" % pid)
            name, rest = (
                fields[fields.index(b"(") + 1 : fields.rindex(b")")],
                fields[fields.rindex(b")") + 2 :],
            )
            words = rest.split(None, 20)  # from field 3 of proc(5) on
            start = int(words[19])
            if known is None or known.start != start:
                known = Process()
                known.start = start
                fresh = self._last is not None and start * TICK >= self._last - 1
                self._measure(pid, known, words, counts=fresh)
            else:
                self._measure(pid, known, words, counts=True)
            known.parent, known.terminal = int(words[1]), int(words[4])
            uid = os.stat("/proc/%d" % pid).st_uid
            young = now - start * TICK < YOUNG
            text = name.decode("utf-8", "replace")
            if young or uid != known.uid or text != known.name:
                known.uid, known.name = uid, text
                known.kind = self._classify(pid, uid, text) if known.parent != 2 and pid != 2 else Kind.SYSTEM
                known.carries = known.kind is Kind.WORK and carries(pid, text)
            known.recheck = 0 if young else RECHECK
            return known
        except (OSError, ValueError, IndexError):
            return None  # it has just ended

    def _measure(self, pid: int, process: Process, words: List[bytes], *, counts: bool) -> None:
        cpu = (int(words[11]) + int(words[12])) * TICK
        children = (int(words[13]) + int(words[14])) * TICK
        moved, chars = _io(pid) if process.kind is not Kind.SYSTEM or process.cpu == 0 else (None, None)
        process.used = (cpu - process.cpu if counts else 0.0) + (
            children - process.children if counts else 0.0
        )
        fresh = counts and not process.cpu and process.bytes is None
        known = 0 if fresh else process.bytes
        process.moved = float(moved - known) if counts and moved is not None and known is not None else 0.0
        before = (0, 0) if fresh else process.chars
        process.taken = process.given = 0
        if counts and chars is not None and before is not None:
            process.taken, process.given = chars[0] - before[0], chars[1] - before[1]
        process.cpu, process.children, process.bytes, process.chars = cpu, children, moved, chars

    def _settle(self, before: Dict[int, Process]) -> None:
        """Subtract from each parent what was already counted for the ended children that it reaped."""
        for pid, gone in before.items():
            now = self._known.get(pid)
            if now is gone:
                continue
            parent = self._known.get(gone.parent)
            if parent is not None and parent.kind is not Kind.SYSTEM:
                parent.used -= gone.cpu + gone.children
                parent.moved -= gone.bytes or 0
                taken, given = gone.chars or (0, 0)
                parent.taken, parent.given = parent.taken - taken, parent.given - given
        for process in self._known.values():
            process.used, process.moved = max(0.0, process.used), max(0.0, process.moved)

    def _sum(self, what: str, *kinds: Kind) -> Tuple[float, str]:
        """The sum per second over processes of these kinds, and the name of the largest."""
        total, most, who = 0.0, 0.0, ""
        for process in self._known.values():
            if process.kind in kinds:
                used = getattr(process, what)
                total += used
                if used > most:
                    most, who = used, process.name
        return total / self._over, shown(who)  # a process chooses its own name (prctl(2))


def time_since_boot() -> float:
    """Seconds since the kernel's boot, including suspends, like the start times in /proc/PID/stat."""
    return float(_file(b"/proc/uptime").split()[0])


def started(pid: int) -> Optional[float]:
    """The process's start in seconds since the kernel's boot; None if it has ended."""
    try:
        return int(_file(b"/proc/%d/stat" % pid).rpartition(b")")[2].split()[19]) * TICK
    except (OSError, ValueError, IndexError):
        return None


def _file(path: bytes) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 4096)
    finally:
        os.close(file)


def _io(pid: int) -> Tuple[Optional[int], Optional[Tuple[int, int]]]:
    """(bytes from and to storage, (bytes read, bytes written) by system calls); None without permission.

    From proc(5): read_bytes + write_bytes; rchar and wchar, which exclude send(2) and recv(2).
    """
    try:
        fields = [int(line.split()[1]) for line in _file(b"/proc/%d/io" % pid).splitlines()[:6]]
        return fields[4] + fields[5], (fields[0], fields[1])
    except (OSError, IndexError, ValueError):
        return None, None
