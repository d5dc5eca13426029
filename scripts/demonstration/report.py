# SPDX-License-Identifier: GPL-2.0
"""The table at the end, and what to say about checks that failed."""

from .checks import Check, bad_lines
from .collected import Collected
from .run import Moved

MIB = 1 << 20


def mib(count: int) -> str:
    return f"{count / MIB:.1f} MiB"


def seconds(value: float) -> str:
    return f"{value:.1f} s"


def column(seen: Moved, data: Collected, checks: list[Check]) -> dict[str, str]:
    """One guest's figures by their names."""
    pings = data.pings
    disks = {module for name, module in seen.drivers.items() if name.startswith("xvd")}
    cards = {module for name, module in seen.drivers.items() if name.startswith("eth")}
    tcp_gap = max(data.gap(way)[0] for way in ("TCP from the guest", "TCP to the guest"))
    return {
        "disks driven by": ", ".join(sorted(disks)),
        "network card driven by": ", ".join(sorted(cards)),
        "disk: written by fio": mib(data.fio.written),
        "disk: verified by fio": mib(data.fio.verified),
        "disk: from host a, verified on b": mib(data.kept_verified),
        "TCP from the guest, checked": mib(data.dom0_stream["received"]),
        "TCP to the guest, checked": mib(data.guest_stream["received"]),
        "pings sent / lost": f"{pings.sent} / {len(pings.lost)}",
        "migration time": seconds(seen.migration[1] - seen.migration[0]),
        "guest's clock stood still": seconds(data.clock.paused),
        "longest gap seen by the disk": seconds(data.gap("disk")[0]),
        "longest gap seen by TCP": seconds(tcp_gap),
        "longest gap seen by pings": seconds(data.gap("pings")[0]),
        "errors in the guest's kernel log": str(len(bad_lines(seen.dmesg))),
        "checks held": f"{sum(check.held for check in checks)} of {len(checks)}",
    }


def table(columns: dict[str, dict[str, str]]) -> str:
    """Guests side by side."""
    names = list(next(iter(columns.values())))
    first = max(map(len, names))
    rows = ["guest".ljust(first) + "".join(kind.rjust(17) for kind in columns)]
    rows.append("-" * len(rows[0]))
    rows += [name.ljust(first) + "".join(figures[name].rjust(17) for figures in columns.values()) for name in names]
    return "\n".join(rows)


def failures(kind: str, checks: list[Check]) -> list[str]:
    """A line for each check that did not hold."""
    return [f"FAILED {kind}: {check.text} ({check.detail}); log: {check.log}" for check in checks if not check.held]
