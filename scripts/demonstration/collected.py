# SPDX-License-Identifier: GPL-2.0
"""What the programs of the load wrote, read back and put on one clock."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from .clock import GuestClock, Tick, read_monitor
from .workload import PING_INTERVAL
# An answer may take this long, in seconds, on a busy emulated processor.
IN_FLIGHT = 2.0


@dataclass
class Fio:
    """All rounds of fio."""

    # By lane: how many rounds have run, and how many there were.
    rounds: dict[str, tuple[int, int]] = field(default_factory=dict)
    written: int = 0
    verified: int = 0
    errors: int = 0
    # Guest time of each finished request.
    times: list[float] = field(default_factory=list)

    def add_result(self, path: Path) -> None:
        """A run's JSON, a job for each round; fio prints notes before it."""
        text = path.read_text()
        for job in json.loads(text[text.index("{\n") :])["jobs"]:
            lane = job["jobname"].rsplit("-", 1)[0]
            done, count = self.rounds.get(lane, (0, 0))
            self.rounds[lane] = (done + (job["write"]["io_bytes"] > 0), count + 1)
            self.written += job["write"]["io_bytes"]
            self.verified += job["read"]["io_bytes"]
            self.errors += bool(job["error"])

    def add_log(self, path: Path) -> None:
        """A bandwidth log with a line for each request: milliseconds, rate, direction, bytes."""
        self.times += [int(line.split(",", 1)[0]) / 1000 for line in path.read_text().splitlines()]


@dataclass
class Pings:
    """ping -D: the times of the replies by sequence number."""

    sent: int
    replies: dict[int, float]
    duplicates: int

    @property
    def lost(self) -> list[int]:
        return [number for number in range(1, self.sent + 1) if number not in self.replies]

    def around(self, number: int) -> tuple[float, float]:
        """The replies before and after a lost ping: it was on its way between them."""
        before = [self.replies[n] for n in range(number - 1, 0, -1) if n in self.replies][:1]
        after = [self.replies[n] for n in range(number + 1, self.sent + 1) if n in self.replies][:1]
        return (before or [float("-inf")])[0], (after or [float("inf")])[0]


def read_pings(path: Path, real_offset: float) -> Pings:
    """ping's output; `real_offset` turns its wall-clock stamps into outside times."""
    text = path.read_text(errors="replace")
    replies: dict[int, float] = {}
    duplicates = 0
    for stamp, number, rest in re.findall(r"^\[([\d.]+)\] \d+ bytes from .*icmp_seq=(\d+) (.*)$", text, re.M):
        duplicates += "DUP!" in rest
        replies.setdefault(int(number), float(stamp) + real_offset)
    summary = re.search(r"^(\d+) packets transmitted, (\d+) received", text, re.M)
    if not summary or not replies:
        raise ValueError(f"ping has not come to its end: {path}")
    # ping ends without waiting for the answers that are on their way: those of its last moment prove nothing.
    sent = int(summary[1])
    last = max(replies)
    return Pings(last if sent - last <= IN_FLIGHT / PING_INTERVAL else sent, replies, duplicates)


@dataclass
class Stream:
    """One end of the TCP stream: what it reports and the times of the data that reached it."""

    result: dict
    times: list[float]


def read_stream(path: Path) -> Stream:
    """The log of one end and the result beside it."""
    result_path = Path(f"{path}.json")
    if not result_path.exists():
        raise ValueError(f"this end of the stream left no result: {result_path}")
    times = [float(line.split()[0]) for line in path.read_text().splitlines()]
    return Stream(json.loads(result_path.read_text()), times)


@dataclass
class Collected:
    """Everything that one guest's run left; all times are outside times in seconds."""

    ticks: list[Tick]
    clock: GuestClock
    fio: Fio
    kept_written: int
    kept_verified: int
    pings: Pings
    guest_stream: dict
    dom0_stream: dict
    load: tuple[float, float]
    # When something arrived, by what it was.
    moments: dict[str, list[float]]

    def gap(self, name: str) -> tuple[float, float]:
        """The longest time under load without an arrival, and when it began. The load's own edges count as arrivals."""
        start, end = self.load
        times = [start, *(time for time in self.moments[name] if start < time < end), end]
        return max((after - before, before) for before, after in zip(times, times[1:]))


def read_kept(folder: Path) -> tuple[int, int]:
    """Bytes written on the first host and bytes of them verified on the second."""
    written, verified = Fio(), Fio()
    written.add_result(folder / "kept-written.json")
    if (folder / "kept-verified.json").exists():
        verified.add_result(folder / "kept-verified.json")
    good = verified.errors == 0
    return written.written, verified.verified if good else 0


def collect(folder: Path, real_offset: float, load: tuple[float, float]) -> Collected:
    """Reads a guest's folder."""
    ticks, exchanges = read_monitor(folder / "monitor.log")
    clock = GuestClock(ticks, exchanges)
    fio = Fio()
    fio.add_result(folder / "lanes.json")
    for path in sorted(folder.glob("lane*_bw.*.log")):
        fio.add_log(path)
    pings = read_pings(folder / "dom0-ping.log", real_offset)
    guest_stream, dom0_stream = read_stream(folder / "stream.log"), read_stream(folder / "dom0-stream.log")

    # A time that may lie on either side of a suspension is left out: a gap is rather overestimated, by a tick.
    def outside(times: list[float]) -> list[float]:
        return sorted(clock.outside(time) for time in times if not clock.uncertain(time))

    moments = {
        "disk": outside(fio.times),
        "TCP to the guest": outside(guest_stream.times),
        "TCP from the guest": dom0_stream.times,
        "pings": sorted(pings.replies.values()),
    }
    return Collected(
        ticks, clock, fio, *read_kept(folder), pings, guest_stream.result, dom0_stream.result, load, moments
    )
