# SPDX-License-Identifier: GPL-2.0
"""A guest: its life cycle, its devices, and commands in it over its console."""

import base64
import itertools
import json
import time
import zlib
from dataclasses import dataclass, field

from .host import Host, LabError, Result
from .images import provide_boot_files
from .kinds import KINDS, Kind

READY = "LAB: guest ready"
# In dom0.
LOGS = "/share/console"

job_numbers = itertools.count(1)
request_numbers = itertools.count(1)


def quoted(text: str) -> str:
    """A string of xl's configuration."""
    return f'"{text}"'


@dataclass
class Disk:
    """A disk: a device or a file of dom0, served by xen-blkback or by QEMU."""

    target: str
    name: str
    backend: str = "blkback"
    mode: str = "w"

    def spec(self) -> str:
        if self.backend == "qemu":
            access = "ro" if self.mode == "r" else "rw"
            return f"format=raw,vdev={self.name},access={access},backendtype=qdisk,target={self.target}"
        kind = "phy" if self.target.startswith("/dev/") else "file"
        return f"{kind}:{self.target},{self.name},{self.mode}"


@dataclass
class Job:
    """A script that runs in the guest."""

    guest: "Guest"
    name: str
    output: str = ""

    def poll(self) -> int | None:
        """Fetches new output; the exit code once the script has ended and all output is here."""
        while True:
            reply = self.guest.ask("poll", {"job": self.name, "offset": len(self.output.encode("latin-1"))})
            if reply.get("unknown"):
                raise LabError(f"guest {self.guest.name}: its agent has lost job {self.name}")
            self.output += base64.b64decode(reply["data"]).decode("latin-1")
            if len(self.output) < reply["size"]:
                continue
            return reply["rc"]

    def wait(self, timeout: float) -> Result:
        """Waits for the end."""
        timeout *= self.guest.spec.patience
        end = time.monotonic() + timeout
        while True:
            code = self.poll()
            if code is not None:
                return Result(code, self.output)
            if time.monotonic() > end:
                self.guest.ask("kill", {"job": self.name})
                raise LabError(f"guest {self.guest.name}: script not done in {timeout:.0f} s; so far:\n{self.output[-2000:]}")
            time.sleep(0.3)

    def kill(self) -> None:
        self.guest.ask("kill", {"job": self.name})


@dataclass
class Guest:
    """A guest of a host; `host` changes when it is migrated. `settings` are further lines of xl's configuration, or others
    in place of those below."""

    host: Host
    name: str
    kind: str
    number: int
    frontends: str = "rust"
    disks: list[Disk] = field(default_factory=list)
    vifs: int = 1
    vcpus: int = 1
    memory: int = 320
    root: str = "/dev/xvda"
    cmdline: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    def mac(self, card: int) -> str:
        return f"00:16:3e:00:{card:02x}:{self.number:02x}"

    def address(self, card: int = 0) -> str:
        return f"10.9.{card}.{self.number}"

    @property
    def spec(self) -> Kind:
        return KINDS[self.kind]

    @property
    def loaded_frontends(self) -> str:
        """The set of modules of ours is another one where it is the guest's Xen core too."""
        return "native" if self.native and self.frontends == "rust" else self.frontends

    @property
    def native(self) -> bool:
        """Whether our modules are the guest's only Xen core."""
        return self.spec.native

    def vif_spec(self, card: int, separator: str = ",") -> str:
        # Otherwise an HVM guest gets an emulated card too, and its boot ROM doubles the time of the boot.
        parts = ["type=vif"] if self.spec.type == "hvm" else []
        return separator.join([*parts, f"mac={self.mac(card)}", "bridge=xenbr0"])

    def config(self, kernel: str, initrd: str) -> str:
        """The guest's xl configuration."""
        extra = " ".join([
            f"console=hvc0 loglevel=5 labname={self.name} labip={self.number} labcards={self.vifs} labroot={self.root}",
            # Without Xen's word for it, Linux measures the frequency, and on a busy machine it gives up.
            f"tsc_early_khz={self.host.tsc_khz} tsc=reliable" if self.native else "", self.spec.cmdline, self.cmdline,
        ])  # fmt: skip
        settings = {
            "name": quoted(self.name), "type": quoted(self.spec.type), "kernel": quoted(f"/share/{kernel}"),
            "ramdisk": quoted(f"/share/{initrd}"), "extra": quoted(extra), "memory": self.memory, "vcpus": self.vcpus,
            "vif": [self.vif_spec(card) for card in range(self.vifs)],
            "disk": [disk.spec() for disk in self.disks],
            "on_crash": quoted("preserve"), "on_reboot": quoted("destroy"), "tsc_mode": quoted("native"),
        }  # fmt: skip
        if self.spec.type == "hvm":
            settings |= {
                "serial": quoted("pty"), "vga": quoted("none"), "nographic": 1, "vnc": 0, "sdl": 0, "xen_platform_pci": 1,
                "boot": quoted("c"), "device_model_override": quoted("/usr/libexec/xen-qemu-system-i386"),
            }  # fmt: skip
        if self.native:
            # Its clock ticks by emulated timers. Ticks for which the host had no time must not be made up for: on a busy
            # machine the guest would do nothing else.
            settings |= {"timer_mode": quoted("no_missed_ticks_pending")}
            # Without nographic: it has the firmware look at the serial port at each tick of its clock, which on a busy
            # machine takes longer than the tick.
            settings |= {"nographic": 0, "serial": quoted("chardev:serial0"), "device_model_args_hvm": self.emulated_consoles()}
        return "".join(f"{name} = {value}\n" for name, value in (settings | self.settings).items())

    def emulated_consoles(self) -> list[str]:
        """QEMU's arguments for a guest that cannot have a Xen console: a virtio console in its place, which dom0's
        agent logs where xenconsoled logs those of other guests, and a serial port for what a kernel says before it has
        drivers. By these names libxl puts both terminals into xenstore."""
        return ["-chardev", f"pty,id=serial0,logfile={LOGS}/guest-{self.name}.serial,logappend=on", "-chardev", "pty,id=serial1",
                "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=serial1"]  # fmt: skip

    @property
    def console_path(self):
        """The console's log on the current host."""
        return self.host.share / "console" / f"guest-{self.name}.log"

    def console(self) -> str:
        return self.console_path.read_text(errors="replace") if self.console_path.exists() else ""

    def create(self, timeout: float = 180, ready: str = READY) -> "Guest":
        """Creates the guest and waits until it takes commands."""
        config = self.write_config()
        # By dom0: it would not notice that a file which it knows was removed from outside.
        self.host.run(f"rm -f {LOGS}/guest-{self.name}.log").check()
        result = self.host.run(f"xl create {config}", timeout=120)
        if result.rc != 0:
            raise LabError(f"guest {self.name}: xl create failed:\n{result.out}")
        if self.native:
            self.open_console()
        self.wait_console(ready, timeout)
        return self

    def write_config(self) -> str:
        """Writes the guest's configuration for the host; returns where the host finds it."""
        boot_files = self.boot_files(self.host)
        (self.host.share / f"{self.name}.cfg").write_text(self.config(*boot_files))
        return f"/share/{self.name}.cfg"

    def boot_files(self, host: Host) -> tuple[str, str]:
        """The kernel and the RAM disk, which are there for a host afterwards. A device model opens them also when it only
        takes over a guest that has long been running."""
        return provide_boot_files(host.images, host.share, self.spec.kernel, self.loaded_frontends, self.root == "ram")

    def open_console(self) -> None:
        """Has dom0's agent open the virtio console: what is written before that goes nowhere."""
        # libxl writes the node a moment after the guest's creation.
        node = f"/local/domain/$(xl domid {self.name})/serial/1/tty"
        self.host.run(f"for n in $(seq 100); do xenstore-exists {node} && exit 0; sleep 0.1; done; exit 1").check()
        reply = self.host.request({"console": self.name, "line": "", "match": "~", "timeout": 0}, timeout=40)
        # Nobody answers yet.
        if reply.get("error") != "timeout":
            raise LabError(f"guest {self.name}: its console cannot be opened: {reply}")

    def wait_console(self, text: str, timeout: float) -> None:
        """Waits for a text on the console."""
        end = time.monotonic() + timeout
        while text not in self.console():
            if "Kernel panic" in self.console() or "LAB: FAIL" in self.console():
                raise LabError(f"guest {self.name} failed:\n{self.console()[-3000:]}")
            if time.monotonic() > end:
                raise LabError(f"guest {self.name}: no '{text}' in {timeout:.0f} s:\n{self.console()[-3000:]}")
            time.sleep(0.3)

    # --- commands in the guest ---------------------------------------------------------------------------------

    def ask(self, verb: str, payload: dict, timeout: float = 180) -> dict:
        """One request to the guest's agent, repeated until an answer with a right checksum comes."""
        raw = json.dumps(payload).encode()
        number = next(request_numbers)
        end = time.monotonic() + timeout
        error = ""
        while time.monotonic() < end:
            line = f"~{number}:{verb}:{base64.b64encode(raw).decode()}:{zlib.crc32(raw)}~"
            reply = self.host.request(
                {"console": self.name, "line": line, "match": f"~{number}:", "timeout": 15}, timeout=40
            )
            error = reply.get("error", "garbled")
            parts = reply.get("line", "").strip().strip("~").split(":")
            if len(parts) == 3 and parts[2].isdigit():
                try:
                    answer = base64.b64decode(parts[1], validate=True)
                except ValueError:
                    continue
                if zlib.crc32(answer) == int(parts[2]):
                    decoded = json.loads(answer)
                    if "error" in decoded:
                        raise LabError(f"guest {self.name}: {decoded['error']}")
                    return decoded
            time.sleep(0.2)
        raise LabError(f"guest {self.name} does not answer ({error}); console:\n{self.console()[-3000:]}")

    def start(self, script: str) -> Job:
        """Starts a script in the guest."""
        name = str(next(job_numbers))
        self.ask("start", {"job": name, "script": script})
        return Job(self, name)

    def run(self, script: str, timeout: float = 60) -> Result:
        """Runs a script in the guest."""
        return self.start(script).wait(timeout)

    def put(self, path: str, data: bytes, piece: int = 6000) -> None:
        """Writes a small file in the guest, over the console as everything else."""
        for at in range(0, len(data), piece):
            text = base64.b64encode(data[at : at + piece]).decode()
            self.run(f"echo {text} | base64 -d {'>>' if at else '>'}{path}").check()

    def dmesg(self) -> str:
        """The guest's kernel log."""
        return self.run("dmesg", timeout=60).out

    # --- life cycle --------------------------------------------------------------------------------------------

    def xl(self, command: str, timeout: float = 180) -> Result:
        return self.host.run(f"xl {command}", timeout=timeout)

    def exists(self) -> bool:
        return self.xl(f"domid {self.name}", timeout=20).rc == 0

    def destroy(self) -> None:
        if self.exists():
            self.xl(f"destroy {self.name}", timeout=60)

    def shutdown(self, timeout: float = 90) -> None:
        """An orderly shutdown."""
        self.xl(f"shutdown -w {self.name}", timeout=timeout).check()

    def save(self, path: str = "/srv/guest.save") -> None:
        self.xl(f"save {self.name} {path}").check()

    def restore(self, path: str = "/srv/guest.save", config: str = "") -> None:
        """With the configuration that it had when it was saved, or with that in a file of the host."""
        self.host.run(f"xl restore {config} {path} && rm {path}", timeout=180).check()

    def move(self, to: Host, path: str = "/srv/guest.save") -> None:
        """To another host, not live: saved, copied over the hosts' link, restored."""
        self.boot_files(to)
        self.save(path)
        to.run(f"setsid socat -u TCP-LISTEN:8003,reuseaddr OPEN:{path}.part,creat,trunc </dev/null >/dev/null 2>&1 &").check()
        copied = self.host.run(f"for n in 1 2 3 4 5; do sleep 1; socat -u OPEN:{path} TCP:{to.address}:8003 && exit 0; done; exit 1", timeout=240)
        copied.check()
        size = self.host.run(f"stat -c %s {path}").check().out.strip()
        to.run(f"for n in $(seq 60); do [ $(stat -c %s {path}.part) = {size} ] && mv {path}.part {path} && exit 0; sleep 0.5; done; exit 1").check()
        self.host.run(f"rm {path}").check()
        self.host = to
        self.restore(path)

    def checkpoint(self, path: str = "/srv/guest.save") -> None:
        """A save after which the guest goes on: the suspend that it sees was cancelled."""
        self.host.run(f"xl save -c {self.name} {path} && rm {path}", timeout=180).check()

    def migrate_local(self) -> None:
        self.xl(f'migrate -s "" {self.name} "xl migrate-receive"', timeout=800).check()

    def migrate(self, to: Host) -> None:
        """Live migration to another host."""
        self.boot_files(to)
        self.xl(f"migrate -s '' {self.name} 'socat -b 262144 -t 60 - TCP:{to.address}:8002'", timeout=800).check()
        self.host = to

    # --- devices -----------------------------------------------------------------------------------------------

    def attach_disk(self, disk: Disk) -> None:
        self.xl(f"block-attach {self.name} '{disk.spec()}'", timeout=90).check()

    def detach_disk(self, name: str) -> None:
        self.xl(f"block-detach {self.name} {name}", timeout=90).check()

    def attach_vif(self, card: int) -> None:
        self.xl(f"network-attach {self.name} {self.vif_spec(card, ' ')}", timeout=90).check()

    def detach_vif(self, card: int) -> None:
        self.xl(f"network-detach {self.name} {self.mac(card)}", timeout=90).check()
