"""The samples on disk: bounded in size, valid after a crash, and enough to resume from."""

from __future__ import annotations

from traces.builder import Box, cpu, jupyter, kernel

from watch.log import Log, samples
from watch.sample import Event


def _size(folder) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_year_of_samples_stays_bounded_and_keeps_the_last_days(tmp_path):
    """A year of samples, scaled down to a fiftieth in size and rate."""
    most = 20_000
    log = Log(str(tmp_path), most=most)
    box, largest = Box(), 0
    for _ in range(365):
        first = len(box.samples)
        box.run(24 * 60, interval=750, cpu=cpu(0.5), jupyter=jupyter(kernel("busy", cores=0.5)))
        for sample in box.samples[first:]:
            log.append(sample)
        largest = max(largest, _size(tmp_path))
    line = len((tmp_path / "samples.jsonl").read_bytes().splitlines()[0]) + 1
    assert largest < 3 * most + 2 * line
    kept = list(log.read(thinned=True))
    assert kept[-1] == box.samples[-1]
    days = (kept[-1].wall - kept[0].wall) / 86_400
    assert days > 7
    assert [s.wall for s in kept] == sorted(s.wall for s in kept)


def test_the_newest_hours_keep_every_sample(tmp_path):
    log = Log(str(tmp_path), most=30_000)
    for sample in Box().run(300).samples:
        log.append(sample)
    walls = [sample.wall for sample in log.read()]
    assert len(walls) > 60
    assert {round(b - a) for a, b in zip(walls, walls[1:], strict=False)} == {15}


def test_a_line_truncated_by_a_crash_spoils_no_other(tmp_path):
    log = Log(str(tmp_path))
    one, two = Box().run(0.5).samples
    log.append(one)
    with open(tmp_path / "samples.jsonl", "ab") as file:
        file.write(b'{"boot": "boot-1", "mo')
    log.append(two)
    assert list(log.read()) == [one, two]


def test_events_survive_the_thinning(tmp_path):
    log = Log(str(tmp_path), most=10_000)
    for number in range(100):
        log.append(Event("poweroff", f"boot-{number}", 0.0))
        log.append(Box().run(0.25).samples[0])
    events = [sample for sample in log.read(thinned=True) if isinstance(sample, Event)]
    assert len(events) > 90


def test_a_missing_log_has_no_samples(tmp_path):
    assert list(samples(str(tmp_path / "none"))) == []
