# SPDX-License-Identifier: GPL-2.0
"""A guest: its life cycle, its devices, and commands in it over its console."""

import base64
import itertools
import json
import time
import zlib
from dataclasses import dataclass, field

from .host import Host, LabError, Result

READY = "LAB: guest ready"
# A PV guest on this processor model maps an address that it does not have in this initcall, and panics.
PV_EXTRA = "initcall_blacklist=print_s5_reset_status_mmio"

job_numbers = itertools.count(1)
request_numbers = itertools.count(1)


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
    """A guest of a host; `host` changes when it is migrated."""

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
    kernel_log: str = ""

    def mac(self, card: int) -> str:
        return f"00:16:3e:00:{card:02x}:{self.number:02x}"

    def address(self, card: int = 0) -> str:
        return f"10.9.{card}.{self.number}"

    @property
    def initrd(self) -> str:
        return f"initrd-{self.frontends}" + ("-ram" if self.root == "ram" else "")

    def config(self) -> str:
        """The guest's xl configuration."""
        extra = f"console=hvc0 loglevel=5 labname={self.name} labip={self.number} labroot={self.root} {self.cmdline}"
        if self.kind == "pv":
            extra += " " + PV_EXTRA
        vif_type = "type=vif," if self.kind == "hvm" else ""
        vifs = [f"'{vif_type}mac={self.mac(card)},bridge=xenbr0'" for card in range(self.vifs)]
        lines = [
            f'name = "{self.name}"', f'type = "{self.kind}"', 'kernel = "/share/vmlinuz"',
            f'ramdisk = "/share/{self.initrd}"', f'extra = "{extra}"', f"memory = {self.memory}",
            f"vcpus = {self.vcpus}", f"vif = [ {', '.join(vifs)} ]",
            "disk = [ " + ", ".join(f"'{disk.spec()}'" for disk in self.disks) + " ]",
            'on_crash = "preserve"', 'on_reboot = "destroy"', 'tsc_mode = "native"',
        ]  # fmt: skip
        if self.kind == "hvm":
            lines += ['serial = "pty"', 'vga = "none"', "nographic = 1", "vnc = 0", "sdl = 0", "xen_platform_pci = 1",
                      'boot = "c"', 'device_model_override = "/usr/libexec/xen-qemu-system-i386"']  # fmt: skip
        return "\n".join(lines) + "\n"

    @property
    def console_path(self):
        """The console's log on the current host."""
        return self.host.share / "console" / f"guest-{self.name}.log"

    def console(self) -> str:
        return self.console_path.read_text(errors="replace") if self.console_path.exists() else ""

    def create(self, timeout: float = 180, ready: str = READY) -> "Guest":
        """Creates the guest and waits until it takes commands."""
        (self.host.share / f"{self.name}.cfg").write_text(self.config())
        self.console_path.unlink(missing_ok=True)
        result = self.host.run(f"xl create /share/{self.name}.cfg", timeout=120)
        if result.rc != 0:
            raise LabError(f"guest {self.name}: xl create failed:\n{result.out}")
        self.wait_console(ready, timeout)
        return self

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

    def restore(self, path: str = "/srv/guest.save") -> None:
        self.host.run(f"xl restore {path} && rm {path}", timeout=180).check()

    def move(self, to: Host, path: str = "/srv/guest.save") -> None:
        """To another host, not live: saved, copied over the hosts' link, restored."""
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
        self.xl(f"migrate -s '' {self.name} 'socat -b 262144 -t 60 - TCP:{to.address}:8002'", timeout=800).check()
        self.host = to

    # --- devices -----------------------------------------------------------------------------------------------

    def attach_disk(self, disk: Disk) -> None:
        self.xl(f"block-attach {self.name} '{disk.spec()}'", timeout=90).check()

    def detach_disk(self, name: str) -> None:
        self.xl(f"block-detach {self.name} {name}", timeout=90).check()

    def attach_vif(self, card: int) -> None:
        vif_type = "type=vif " if self.kind == "hvm" else ""
        self.xl(f"network-attach {self.name} {vif_type}mac={self.mac(card)} bridge=xenbr0", timeout=90).check()

    def detach_vif(self, card: int) -> None:
        self.xl(f"network-detach {self.name} {self.mac(card)}", timeout=90).check()
