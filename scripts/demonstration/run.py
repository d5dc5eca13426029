# SPDX-License-Identifier: GPL-2.0
"""One guest: created on host A, put under load, moved to host B, asked what it has seen."""

import json
import re
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.guest import Disk, Guest
from lab.pair import DATA, ROOTS, Lab

from .progress import stage
from .workload import CARD, DISK, Workload

# MiB; all of it crosses the cable between the hosts.
MEMORY = 256
NUMBERS = {"pvh": 11, "pv": 12, "hvm": 13}


@dataclass
class Moved:
    """What was seen from outside. All times are host A's monotonic clock."""

    kind: str
    frontends: str
    folder: Path
    drivers: dict[str, str] = field(default_factory=dict)
    load: tuple[float, float] = (0.0, 0.0)
    migration: tuple[float, float] = (0.0, 0.0)
    connection: tuple[str, str] = ("", "")
    status: dict[str, int] = field(default_factory=dict)
    kept_status: int = -1
    real_offset: float = 0.0
    dmesg: str = ""


def driver_of(guest: Guest, device: str) -> str:
    """What drives a device, as sysfs tells: the driver's module, or its name where it has that of a loaded module.

    Our drivers do not tell the bus their module, since that would keep it from being unloaded."""
    driver = f"/sys/{device}/device/driver"
    find = f"readlink -e {driver}/module || {{ name=$(readlink -e {driver}) && ls -d /sys/module/${{name##*/}}; }}"
    found = guest.run(find)
    return Path(found.out.strip()).name if found.rc == 0 else "no module"


def connection_of(guest: Guest, port: int) -> str:
    """Both ends of the guest's TCP connection and its socket's inode: another one would have another inode."""
    out = guest.run(f"ss -tne state established '( dport = :{port} )'").check().out
    found = re.findall(r"(\S+:\d+)\s+(\S+:\d+)\s.*?ino:(\d+)", out)
    return " ".join(found[0]) if len(found) == 1 else f"{len(found)} connections"


def keep_logs(guest: Guest, lab: Lab, folder: Path) -> None:
    """Consoles of both hosts, for a reader of the results."""
    for host in lab.hosts:
        # While it comes in, the guest's name has a suffix, and the console's log keeps it.
        for path in (host.share / "console").glob(f"guest-{guest.name}*.log"):
            (folder / f"console-{host.name}.log").write_text(path.read_text(errors="replace"))


def move(guest: Guest, lab: Lab, load: Workload, seen: Moved, settle: float) -> None:
    """The migration, with `settle` seconds of load before and after it."""
    time.sleep(settle)
    load.alive()
    before = connection_of(guest, load.port)
    started = load.outside_time()
    with stage(f"{guest.kind}: live migration from host a to host b"):
        guest.migrate(lab.b)
    seen.migration = (started, load.outside_time())
    time.sleep(settle)
    seen.connection = (before, connection_of(guest, load.port))
    load.alive()


def run_guest(lab: Lab, kind: str, frontends: str, folder: Path, settle: float) -> Moved:
    """The whole run of one guest; raises LabError where it cannot go on."""
    folder.mkdir(parents=True)
    index = list(NUMBERS).index(kind)
    disks = [Disk(f"/dev/{ROOTS[index]}", "xvda"), Disk(f"/dev/{DATA[index]}", DISK)]
    guest = Guest(lab.a, f"demo-{kind}", kind, NUMBERS[kind], frontends=frontends, disks=disks, memory=MEMORY)
    seen = Moved(kind, frontends, folder)
    load = Workload(guest, lab.a, folder)
    try:
        with stage(f"{kind}: guest boots on host a, root on xvda, data on {DISK}, network on {CARD}"):
            guest.create(timeout=400)
            for name, device in (("xvda", "block/xvda"), (DISK, f"block/{DISK}"), (CARD, f"class/net/{CARD}")):
                seen.drivers[name] = driver_of(guest, device)
        with stage(f"{kind}: fio, TCP both ways and pings start"):
            load.install()
            load.write_kept()
            load.start()
            load.wait_flowing()
        seen.load = (load.outside_time(), 0.0)
        move(guest, lab, load, seen, settle)
        with stage(f"{kind}: load comes to its end, results are collected"):
            seen.load = (seen.load[0], load.outside_time())
            seen.status = load.finish()
            seen.kept_status = load.verify_kept()
            load.collect()
            seen.real_offset = load.real_offset
            seen.dmesg = guest.dmesg()
    finally:
        keep_logs(guest, lab, folder)
        (folder / "run.json").write_text(json.dumps(asdict(seen) | {"dmesg": "guest-dmesg.log"}, indent=1, default=str))
        (folder / "guest-dmesg.log").write_text(seen.dmesg or "The guest could not be asked for its kernel log.\n")
    guest.destroy()
    return seen
