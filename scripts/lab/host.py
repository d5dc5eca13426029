# SPDX-License-Identifier: GPL-2.0
"""A Xen host: one QEMU process, and commands in its dom0."""

import ctypes
import functools
import json
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .images import Images

# Without these two changes of the processor model Xen crashes in its idle loop and a PVH guest at its start.
CPU = "EPYC,-monitor,-rdtscp"
# Of Debian's packages: our build of QEMU has none.
FIRMWARE = ["-L", "/usr/share/qemu", "-L", "/usr/share/seabios", "-L", "/usr/lib/ipxe/qemu"]
# With Xen's lazy switching the vector registers leak between domains under this emulation.
XEN_OPTIONS = "com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all noreboot spec-ctrl=eager-fpu=1"
# With Xen's clock each look at the time is a system call, and a device model looks dozens of times for each byte that a
# guest reads from it.
DOM0_CLOCK = "clocksource=tsc tsc=reliable"
PR_SET_PDEATHSIG = 1
READY = "LAB: dom0 ready"


class LabError(Exception):
    """The lab itself failed; the message says where to look."""


@dataclass
class Result:
    """What a command printed and its exit code."""

    rc: int
    out: str

    def check(self) -> "Result":
        """Raises where the command failed."""
        if self.rc != 0:
            raise LabError(f"command failed with {self.rc}:\n{self.out}")
        return self


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_parent() -> None:
    """Ends the child when this process ends, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)


@dataclass
class Host:
    """One Xen host. `folder` holds its sockets and logs and, in `share`, what dom0 sees as /share."""

    name: str
    address: str
    folder: Path
    images: Images
    disks: list[Path] = field(default_factory=list)
    network: list[str] = field(default_factory=list)
    memory: int = 3072
    dom0_memory: int = 1024
    cpus: int = 1
    process: subprocess.Popen | None = None
    joined: bool = False

    @property
    def share(self) -> Path:
        return self.folder / "share"

    @property
    def console_log(self) -> Path:
        return self.folder / "console.log"

    def command(self) -> list[str]:
        """QEMU's command line."""
        i = self.images.folder
        number = self.address.rsplit(".", 1)[1]
        command = [
            self.images.qemu, *FIRMWARE, "-name", f"rxen-{self.name}", "-machine", "q35",
            "-accel", "tcg,thread=multi,tb-size=512", "-cpu", CPU, "-smp", str(self.cpus), "-m", f"{self.memory}M",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-chardev", f"socket,id=con,path={self.folder}/console.sock,server=on,wait=off,logfile={self.console_log}",
            "-serial", "chardev:con", "-monitor", f"unix:{self.folder}/monitor.sock,server=on,wait=off",
            "-kernel", str(self.images.hypervisor),
            "-append", f"{XEN_OPTIONS} dom0_mem={self.dom0_memory}M,max:{self.dom0_memory}M dom0_max_vcpus=1",
            "-initrd", f"{i}/dom0-vmlinuz console=hvc0 earlyprintk=xen loglevel=6 {DOM0_CLOCK} labname={self.name} labip={self.address},"
                       f"{i}/dom0-initrd",
            "-drive", f"if=none,id=root,file={i}/root.img,format=raw,snapshot=on", "-device", "virtio-blk-pci,drive=root",
            "-virtfs", f"local,path={self.share},mount_tag=share,security_model=none",
            "-netdev", f"user,id=control,hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.15:2222",
            "-device", f"virtio-net-pci,netdev=control,mac=52:54:00:00:00:{int(number):02x}",
        ]  # fmt: skip
        if self.network:
            command += [*self.network, "-device", f"virtio-net-pci,netdev=lab,host_mtu=9000,mac=52:55:00:00:00:{int(number):02x}"]
        for index, disk in enumerate(self.disks):
            command += ["-drive", f"if=none,id=disk{index},file={disk},format=raw,cache=writeback,file.locking=off",
                        "-device", f"virtio-blk-pci,drive=disk{index}"]  # fmt: skip
        return command

    def start(self) -> None:
        """Starts QEMU; `wait_ready` waits for dom0."""
        (self.share / "console").mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        # For whoever wants to join a running lab.
        (self.folder / "port").write_text(f"{self.port}\n")
        with open(self.folder / "qemu.log", "wb") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        self.started = time.monotonic()

    def wait_ready(self, timeout: float = 240) -> None:
        """Waits until dom0 takes commands."""
        end = self.started + timeout
        while time.monotonic() < end:
            self.check_alive()
            log = self.console_log.read_text(errors="replace") if self.console_log.exists() else ""
            if "LAB: FAIL" in log:
                raise LabError(f"host {self.name}: dom0 did not come up; log: {self.console_log}")
            if READY in log:
                try:
                    self.run("true", timeout=10)
                    return
                except OSError:
                    pass
            time.sleep(0.5)
        raise LabError(f"host {self.name}: dom0 not ready in {timeout} s; log: {self.console_log}")

    def join(self) -> None:
        """Uses a host that another process has started and will stop."""
        self.port = int((self.folder / "port").read_text())
        self.started = time.monotonic()
        self.joined = True

    def check_alive(self) -> None:
        """Raises if QEMU has ended or Xen has crashed."""
        if self.joined:
            return
        if self.process is None or self.process.poll() is not None:
            raise LabError(f"host {self.name}: QEMU has ended; logs: {self.folder}/qemu.log {self.console_log}")

    def request(self, request: dict, timeout: float) -> dict:
        """One exchange with dom0's agent."""
        self.check_alive()
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.settimeout(timeout + 20)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
        if not line:
            raise ConnectionError(f"host {self.name}: dom0's agent gave no answer")
        return json.loads(line)

    def run(self, script: str, timeout: float = 60) -> Result:
        """Runs a shell script in dom0."""
        reply = self.request({"run": script, "timeout": timeout}, timeout)
        return Result(reply["rc"], reply["out"])

    @functools.cached_property
    def tsc_khz(self) -> int:
        """The frequency of the time stamp counter as Xen has measured it."""
        return int(float(re.search(r"^cpu_mhz\s*: (\S+)", self.run("xl info").check().out, re.M)[1]) * 1000)

    def xl_dmesg(self) -> str:
        """The hypervisor's log."""
        return self.run("xl dmesg").out

    def stop(self) -> None:
        """Ends QEMU. What dom0 and the guests had not written is lost."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=20)
        self.process = None
