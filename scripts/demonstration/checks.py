# SPDX-License-Identifier: GPL-2.0
"""What must hold after a guest has moved."""

import re
from dataclasses import dataclass
from pathlib import Path

from lab.logs import problems

from . import fio
from .collected import Collected
from .run import Moved
from .workload import PING_INTERVAL

MODULES = {
    "rust": {"disk": "rxen_blkfront", "network": "rxen_netfront"},
    "c": {"disk": "xen_blkfront", "network": "xen_netfront"},
}
# Beside what no kernel log may contain: in this run no request may fail either.
LOST = re.compile(r"I/O error|lost (async|sync) page write")
# A pause longer than this is no live migration, even on an emulated processor that others use too.
GAP_LIMIT = 60.0
# A ping may be on its way when the guest stops; its answers may wait that long before.
PING_SLACK = 3.0
# How long after the end of the migration pings may be lost: the frontends connect one after the other.
RETURN_LIMIT = 15.0


@dataclass(frozen=True)
class Check:
    """One statement, whether it holds, and where to read more."""

    text: str
    held: bool
    detail: str
    log: Path


def bad_lines(log: str) -> list[str]:
    """Lines of a kernel log that tell of a defect."""
    return problems(log) + [line for line in log.splitlines() if LOST.search(line)]


def driver_checks(seen: Moved) -> list[Check]:
    """Who drives the devices."""
    checks = []
    for device, module in seen.drivers.items():
        wanted = MODULES[seen.frontends]["network" if device.startswith("eth") else "disk"]
        checks.append(Check(f"{device} is driven by {wanted}", module == wanted, module, seen.folder / "guest-dmesg.log"))
    return checks


def disk_checks(seen: Moved, data: Collected) -> list[Check]:
    """Nothing lost on the disk."""
    done, log = data.fio, seen.folder / "lanes.json"
    kept = fio.KEPT_MIB << 20
    status = seen.status.get("fio")
    return [
        Check("fio ended without error", status == 0 and done.errors == 0, f"status {status}, {done.errors} errors", log),
        Check("every byte that fio wrote was read back and verified", 0 < done.written == done.verified,
              f"{done.written} written, {done.verified} verified", log),
        Check("fio had more to do when it was stopped", all(0 < ran < count for ran, count in done.rounds.values()),
              f"rounds done and planned: {done.rounds}", log),
        Check("data written on host a was verified on host b",
              seen.kept_status == 0 and data.kept_written == data.kept_verified == kept,
              f"status {seen.kept_status}, {data.kept_verified} of {kept} bytes", seen.folder / "kept-verified.json"),
        *flow_checks("disk", seen, data, log),
    ]  # fmt: skip


def stream_checks(seen: Moved, data: Collected) -> list[Check]:
    """Nothing lost on the TCP connection, which is one and the same."""
    guest, dom0 = data.guest_stream, data.dom0_stream
    errors = guest["errors"] + dom0["errors"]
    before, after = seen.connection
    log, peer_log = seen.folder / "stream.log.json", seen.folder / "dom0-stream.log.json"
    return [
        Check("TCP: every block had the right number and CRC, the whole the right SHA-256",
              not errors and guest["complete"] and dom0["complete"], "; ".join(errors), log),
        Check("TCP from the guest: all bytes sent were received", 0 < guest["sent"] == dom0["received"],
              f"{guest['sent']} sent, {dom0['received']} received", peer_log),
        Check("TCP to the guest: all bytes sent were received", 0 < dom0["sent"] == guest["received"],
              f"{dom0['sent']} sent, {guest['received']} received", log),
        Check("the TCP connection is the same before and after the migration",
              before == after and len(before.split()) == 3 and
              (guest["local"], guest["peer"]) == (dom0["peer"], dom0["local"]),
              f"before {before}, after {after}", log),
        *flow_checks("TCP to the guest", seen, data, log),
        *flow_checks("TCP from the guest", seen, data, peer_log),
    ]  # fmt: skip


def outage_of(seen: Moved, data: Collected) -> tuple[float, float]:
    """When pings may be lost: from the suspension until the frontends on the other host have connected."""
    starts = [data.clock.outside(before) for before, _ in data.clock.breaks]
    return (starts or [seen.migration[0]])[0] - PING_SLACK, seen.migration[1] + RETURN_LIMIT


def ping_checks(seen: Moved, data: Collected) -> list[Check]:
    """Pings are lost in the outage of the migration only, and no more than fit into it."""
    pings, log = data.pings, seen.folder / "dom0-ping.log"
    early, late = outage_of(seen, data)
    silences = [pings.around(number) for number in pings.lost]
    outside = [silence for silence in silences if not early <= silence[0] <= silence[1] <= late]
    silent = silences[-1][1] - silences[0][0] if silences else 0.0
    return [
        Check("pings were lost only in the outage of the migration", not outside, f"{len(outside)} outside of it", log),
        Check("no more pings were lost than fit into the outage", len(silences) <= (silent + PING_SLACK) / PING_INTERVAL,
              f"{len(silences)} lost in {silent:.1f} s", log),
        Check("no ping came twice", pings.duplicates == 0, f"{pings.duplicates} duplicates", log),
        *flow_checks("pings", seen, data, log),
    ]  # fmt: skip


def flow_checks(what: str, seen: Moved, data: Collected, log: Path) -> list[Check]:
    """Something arrives before and after the migration, and never pauses too long."""
    before = sum(data.load[0] < time < seen.migration[0] for time in data.moments[what])
    after = sum(seen.migration[1] < time < data.load[1] for time in data.moments[what])
    gap = data.gap(what)[0]
    return [
        Check(f"{what}: at work before and after the migration", before > 0 < after, f"{before} and {after} arrivals", log),
        Check(f"{what}: no gap longer than {GAP_LIMIT:.0f} s", gap < GAP_LIMIT, f"longest {gap:.1f} s", log),
    ]


def log_check(seen: Moved) -> Check:
    """The guest's kernel log. An empty one is no clean one."""
    bad = bad_lines(seen.dmesg)
    complete = "Linux version" in seen.dmesg
    detail = bad[0] if bad else "" if complete else "the log is not there from its start"
    return Check("the guest's kernel log is free of errors", complete and not bad, detail, seen.folder / "guest-dmesg.log")


def all_checks(seen: Moved, data: Collected) -> list[Check]:
    """All checks of one guest."""
    others = [seen.status.get(name) for name in ("stream", "monitor")]
    return [
        *driver_checks(seen), *disk_checks(seen, data), *stream_checks(seen, data), *ping_checks(seen, data),
        Check("the guest was suspended exactly once", len(data.clock.breaks) == 1,
              f"{len(data.clock.breaks)} times", seen.folder / "monitor.log"),
        Check("stream and monitor ended without error", others == [0, 0], str(seen.status), seen.folder),
        log_check(seen),
    ]  # fmt: skip


def host_checks(folder: Path) -> list[Check]:
    """The logs of both hypervisors and dom0s."""
    checks = []
    for log in sorted(folder.glob("*/console.log")):
        bad = problems(log.read_text(errors="replace"))
        checks.append(Check(f"the log of host {log.parent.name} is free of errors", not bad, bad[0] if bad else "", log))
    return checks
