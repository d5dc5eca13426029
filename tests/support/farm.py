# SPDX-License-Identifier: GPL-2.0
"""The guests of a test run: made when a test first needs them, shared while they are well, ended with the run."""

import contextlib
import itertools
import re
import time
from pathlib import Path

from lab.guest import Disk, Guest
from lab.host import Host, LabError
from lab.kinds import KINDS
from lab.logs import LogBook, problems
from lab.pair import DATA, ROOTS, Lab

READY_SECONDS = 400


def data_disks() -> list[Disk]:
    """Two disks that both hosts can open, one served by xen-blkback and one by QEMU."""
    return [Disk(f"/dev/{DATA[0]}", "xvdb"), Disk(f"/dev/{DATA[1]}", "xvdc", backend="qemu")]


class Farm:
    """All guests that run, and the logs of everything that could say something bad."""

    def __init__(self, lab: Lab, restart=None):
        self.lab = lab
        self.restart = restart
        self.numbers = itertools.count(10)
        self.guests: dict[str, Guest] = {}
        self.book = LogBook()
        self.expected: list[str] = []
        for name in self.running_guests():
            lab.a.run(f"xl destroy {name}", timeout=60)

    def running_guests(self) -> list[str]:
        """What a former run has left behind in a lab that was joined."""
        lines = self.lab.a.run("xl list", timeout=60).out.splitlines()[1:]
        return [name for name in (line.split()[0] for line in lines) if name != "Domain-0"]

    def ensure_hosts(self) -> None:
        """New hosts where one does not answer any more, for the tests that follow the one that broke it."""
        try:
            for host in self.lab.hosts:
                host.run("true", timeout=60).check()
        except (LabError, OSError):
            if self.restart is None:
                raise
            self.lab.stop()
            self.guests.clear()
            self.book = LogBook()
            self.lab = self.restart()

    # --- guests ------------------------------------------------------------------------------------------------

    def get(self, role: str, kind: str, anywhere: bool = False, **options) -> Guest:
        """The shared guest of a role and kind; made if there is none on the first host, or on any with `anywhere`.
        Those of other kinds and roles are ended."""
        key = f"{role}-{kind}"
        guest = self.guests.get(key)
        if guest is None or not (anywhere or guest.host is self.lab.a):
            self.end_all()
            guest = self.guests[key] = self.create(key, kind, **options)
        return guest

    def create(self, key: str, kind: str, **options) -> Guest:
        """A new guest with a fresh root disk."""
        number = next(self.numbers)
        disks = options.pop("disks", [])
        if options.get("root", "/dev/xvda") == "/dev/xvda":
            self.lab.reset_root(ROOTS[0])
            disks = [Disk(f"/dev/{ROOTS[0]}", "xvda"), *disks]
        options["memory"] = max(options.get("memory", 0), KINDS[kind].memory)
        guest = Guest(self.lab.a, f"{key}-{number}", kind, number, disks=disks, **options)
        try:
            return guest.create(READY_SECONDS * guest.spec.patience)
        except LabError:
            self.guests[key] = guest
            raise

    def end_all(self) -> None:
        """Destroys all guests."""
        for guest in self.guests.values():
            for host in self.lab.hosts:
                # What the former name was while a migration ran is destroyed too.
                host.run(f"for g in $(xl list | awk '$1 ~ /^{guest.name}/ {{ print $1 }}'); do xl destroy $g; done", timeout=90)
        self.guests.clear()
        for host in self.lab.hosts:
            host.run("rm -f /srv/*.save", timeout=30)

    # --- logs --------------------------------------------------------------------------------------------------

    def log_files(self) -> list[Path]:
        """The consoles: of the hosts, where Xen and dom0's kernel write, and of all guests."""
        files = [host.console_log for host in self.lab.hosts]
        for host in self.lab.hosts:
            files += sorted((host.share / "console").glob("guest-*.log"))
        return files

    def begin(self) -> None:
        """A test begins: what the logs have so far is not its."""
        self.ensure_hosts()
        self.book.news(self.log_files())
        self.expected = []

    def expect(self, *patterns: str) -> None:
        """The test that runs causes such lines on purpose."""
        self.expected += patterns

    def complaints(self) -> list[str]:
        """What the logs got since the last call and must not have."""
        return [
            f"{path.parent.name}/{path.name}: {line}"
            for path, text in self.book.news(self.log_files()).items()
            for line in problems(text, tuple(self.expected))
        ]

    def keep_logs(self, folder: Path) -> None:
        """Everything that explains a failure, into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for host in self.lab.hosts:
            (folder / f"host-{host.name}.console").write_bytes(host.console_log.read_bytes())
            for path in (host.share / "console").glob("guest-*.log"):
                (folder / f"{host.name}-{path.name}").write_bytes(path.read_bytes())
            for name, script in STATE.items():
                self.keep(folder / f"host-{host.name}.{name}", lambda: host.run(script, timeout=40).out)
        for guest in self.guests.values():
            self.keep(folder / f"{guest.name}.dmesg", lambda: guest.run("dmesg", timeout=40).out)
            self.keep(folder / f"{guest.name}.tasks", lambda: guest.run(TASKS, timeout=40).out)

    @staticmethod
    def keep(path: Path, read) -> None:
        """One file; the reason where it cannot be had."""
        with contextlib.suppress(OSError):
            try:
                path.write_text(read())
            except (LabError, OSError, ValueError) as error:
                path.write_text(f"not available: {error}\n")


STATE = {
    "dmesg": "dmesg",
    "xl-dmesg": "xl dmesg",
    "xl-list": "xl list -v",
    "xenstore": "xenstore-ls -f",
    "xl-logs": "tail -n 40 /var/log/xen/*.log /share/migrate-receive.log",
}
TASKS = "ps axo pid,stat,wchan:32,args | grep -v ' \\['; cat /sys/kernel/debug/rxenbus/grants; grep -h . /proc/[0-9]*/stack | sort | uniq -c | sort -rn | head -60"


def grants(guest: Guest) -> dict[str, int]:
    """Our side's grant counters: in_use, deferred, leaked."""
    out = guest.run("cat /sys/kernel/debug/rxenbus/grants").check().out
    return {name: int(value) for name, value in re.findall(r"^(in_use|deferred|leaked) (\d+)$", out, re.M)}


def settled_grants(guest: Guest) -> dict[str, int]:
    """The grant counters, once the deferred worker has had time."""
    for _ in range(20):
        counts = grants(guest)
        if not counts["deferred"]:
            break
        time.sleep(0.5)
    return counts


def wait_connected(guest: Guest) -> None:
    """Waits until all devices are so again: on a busy host the backends take their time."""
    guest.run("for n in $(seq 600); do grep -qv Connected /sys/bus/xen/devices/v[bi][df]*/state || exit 0; sleep 0.1; done; exit 1", 150).check()


# Scripts that load and unload what a guest of its kind loads at boot.
LOAD_MODULES = "for m in $(cat /run/lab/frontends); do insmod /run/modules/$m.ko; done"
UNLOAD_MODULES = "for m in $(tac /run/lab/frontends); do rmmod $m; done"


def failed_hypercalls(guest: Guest) -> dict[str, int]:
    """How many of each kind have failed so far, in a native guest."""
    out = guest.run("cat /sys/kernel/debug/rxenbus/hypercalls").check().out
    return {name: int(count) for name, count in re.findall(r"^(\w+) \d+ failed (\d+)$", out, re.M)}


def interrupts(guest: Guest) -> dict[str, int]:
    """How often each interrupt of a device of ours came, by name, from /proc/interrupts."""
    counts = {}
    for line in guest.run("cat /proc/interrupts").check().out.splitlines()[1:]:
        fields = line.split()
        if re.match(r"xenstore|v[bi][df]-", fields[-1]):
            counts[fields[-1]] = sum(int(field) for field in fields[1:] if field.isdigit())
    return counts


def xenstore(host: Host, guest: Guest, path: str, value: str | None = None) -> str:
    """Reads or writes a node of the guest from dom0."""
    node = f"/local/domain/$(xl domid {guest.name})/{path}"
    if value is None:
        return host.run(f"xenstore-read {node}").out.strip()
    return host.run(f"xenstore-write {node} '{value}'").check().out
