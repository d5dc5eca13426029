# SPDX-License-Identifier: GPL-2.0
"""The guest's time and the outside time.

A guest's monotonic clock stands still while the guest is suspended, and its wall clock is that of another host afterwards. So
every result is put on the monotonic clock of a machine that does not move. The guest asks that machine for the time again
and again; the quickest answers give the difference of the two clocks, one difference before each suspension and one after.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import median

# The monotonic clock stops in a suspension, the boot-time clock is set forward: a lasting change of their difference is
# one. A change for one tick is none: the monitor was scheduled away between reading the two.
SUSPENDED = 0.05


@dataclass(frozen=True)
class Tick:
    """One line of the monitor: the guest's clocks and its devices' counters in bytes."""

    time: float
    boot: float
    read: int
    written: int
    received: int
    sent: int


@dataclass(frozen=True)
class Exchange:
    """A question for the outside time: when asked, when answered, and the answer."""

    asked: float
    answered: float
    outside: float

    @property
    def delay(self) -> float:
        return self.answered - self.asked

    @property
    def offset(self) -> float:
        """What to add to the guest's time; wrong by half the delay at most."""
        return self.outside - (self.asked + self.answered) / 2


def read_monitor(path: Path) -> tuple[list[Tick], list[Exchange]]:
    """The monitor's log."""
    ticks, exchanges = [], []
    for line in path.read_text().splitlines():
        word, *values = line.split()
        if word == "tick":
            ticks.append(Tick(float(values[0]), float(values[1]), *map(int, values[2:])))
        else:
            exchanges.append(Exchange(*map(float, values)))
    return ticks, exchanges


def suspensions(ticks: list[Tick]) -> list[tuple[float, float]]:
    """Pairs of guest times between which the guest was suspended."""
    lasting = list(accumulate((tick.boot - tick.time for tick in reversed(ticks)), min))[::-1]
    return [
        (before.time, after.time)
        for before, after, old, new in zip(ticks, ticks[1:], lasting, lasting[1:])
        if new - old > SUSPENDED
    ]


class GuestClock:
    """Turns the guest's monotonic times into outside times."""

    def __init__(self, ticks: list[Tick], exchanges: list[Exchange]):
        self.breaks = suspensions(ticks)
        ends = [-1.0, *(end for _, end in self.breaks), float("inf")]
        self.offsets = [
            self.offset_of([e for e in exchanges if low <= e.asked and e.answered < high])
            for low, high in zip(ends, ends[1:])
        ]

    @staticmethod
    def offset_of(exchanges: list[Exchange]) -> float:
        """From the quickest tenth: their answers did not wait."""
        if not exchanges:
            raise ValueError("the guest got no answer about the time between two suspensions")
        quick = sorted(exchanges, key=lambda exchange: exchange.delay)[: max(1, len(exchanges) // 10)]
        return median(exchange.offset for exchange in quick)

    def outside(self, time: float) -> float:
        """The outside time of a guest time. Within the tick of a suspension the time before it is meant."""
        return time + self.offsets[bisect_right([end for _, end in self.breaks], time)]

    def uncertain(self, time: float) -> bool:
        """Whether a guest time may lie on either side of a suspension."""
        return any(start < time < end for start, end in self.breaks)

    @property
    def paused(self) -> float:
        """For how long the guest's clock stood still altogether."""
        return self.offsets[-1] - self.offsets[0]
