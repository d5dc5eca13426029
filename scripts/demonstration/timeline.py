# SPDX-License-Identifier: GPL-2.0
"""The picture: throughput of disk and network over time, the migration marked."""

from pathlib import Path

from .collected import Collected
from .run import Moved

BIN = 0.5
MIB = 1 << 20
COLORS = {"written": "#b2182b", "read": "#2166ac", "from the guest": "#b2182b", "to the guest": "#2166ac"}


def throughput(times: list[float], totals: list[int], start: float, end: float) -> tuple[list[float], list[float]]:
    """Bin starts (seconds since `start`) and MiB/s. A counter's growth between two samples lies where the later one is."""
    bins = [0.0] * (int((end - start) / BIN) + 1)
    for time, before, after in zip(times[1:], totals, totals[1:]):
        index = int((time - start) / BIN)
        if 0 <= index < len(bins):
            bins[index] += max(0, after - before)
    return [index * BIN for index in range(len(bins))], [count / BIN / MIB for count in bins]


def draw(axes, title: str, series: dict[str, list[int]], times: list[float], seen: Moved) -> None:
    """One diagram."""
    start, end = times[0], times[-1]
    for name, totals in series.items():
        axes.step(*throughput(times, totals, start, end), where="post", label=name, color=COLORS[name], linewidth=1.3)
    begin, finish = (moment - start for moment in seen.migration)
    axes.axvspan(begin, finish, color="#fddbc7", alpha=0.5, label="migration a to b")
    axes.axvline(begin, color="#666666", linestyle="--", linewidth=1)
    axes.axvline(finish, color="#666666", linestyle="--", linewidth=1)
    axes.set_title(title, fontsize=11)
    axes.set_ylabel("MiB/s")
    axes.set_xlim(0, end - start)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def mark_gap(axes, gap: tuple[float, float], start: float) -> None:
    """An arrow over the longest gap."""
    length, began = gap
    low, high = axes.get_ylim()
    y = low + 0.55 * (high - low)
    axes.annotate("", (began - start, y), (began + length - start, y), arrowprops={"arrowstyle": "<->", "color": "black"})
    axes.annotate(f"longest gap {length:.1f} s", (began + length / 2 - start, y), (0, 5), textcoords="offset points",
                  ha="center", fontsize=9, bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1})  # fmt: skip


def save(results: list[tuple[Moved, Collected]], path: Path) -> None:
    """Writes the picture, one column of diagrams for each guest."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(results), figsize=(max(9, 6.2 * len(results)), 7), squeeze=False, layout="constrained")
    for column, (seen, data) in enumerate(results):
        times = [data.clock.outside(tick.time) for tick in data.ticks]
        disk = {"written": [tick.written for tick in data.ticks], "read": [tick.read for tick in data.ticks]}
        network = {"from the guest": [tick.sent for tick in data.ticks], "to the guest": [tick.received for tick in data.ticks]}
        drivers = {name: seen.drivers[name] for name in ("xvdb", "eth0")}
        upper, lower = axes[0][column], axes[1][column]
        draw(upper, f"{seen.kind} guest: disk xvdb ({drivers['xvdb']})", disk, times, seen)
        draw(lower, f"{seen.kind} guest: network eth0 ({drivers['eth0']})", network, times, seen)
        mark_gap(upper, data.gap("disk"), times[0])
        mark_gap(lower, max(data.gap("TCP to the guest"), data.gap("TCP from the guest")), times[0])
        lower.set_xlabel("seconds since the load began (clock of host a)")
        for one in (upper, lower):
            one.legend(loc="upper left", fontsize=9, framealpha=0.85)
    figure.suptitle("Disk and network of a guest during a live migration between two Xen hosts", fontsize=13)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
