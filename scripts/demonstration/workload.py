# SPDX-License-Identifier: GPL-2.0
"""The load on a guest: fio on its data disk, TCP both ways, pings; and what watches it."""

import base64
import gzip
import io
import shutil
import tarfile
import time
from pathlib import Path

from lab.guest import Guest, Job
from lab.host import Host, LabError

from . import fio

INSIDE = Path(__file__).resolve().parent / "inside"
DISK, CARD = "xvdb", "eth0"
# In the guest, and in dom0 below the folder that it shares with this machine.
GUEST_DIR = "/run/demo"
STOP = f"{GUEST_DIR}/stop"

# Moderate, as fio's.
STREAM_RATE = 400_000
PING_INTERVAL = 0.2

# How long a round of fio may still take after the stop, in seconds.
ROUND_LIMIT = 240


class Workload:
    """Everything that runs in a guest and, against it, in the dom0 of a host that stays where it is."""

    def __init__(self, guest: Guest, peer: Host, folder: Path):
        self.guest, self.peer, self.folder = guest, peer, folder
        self.port = 5200 + guest.number
        self.clock_port = 5300 + guest.number
        self.jobs: dict[str, Job] = {}
        self.shared = f"demo-{guest.name}"

    @property
    def peer_folder(self) -> Path:
        """Where the programs of dom0 leave their results, seen from this machine."""
        return self.peer.share / self.shared

    def install(self) -> None:
        """Puts the programs in place."""
        shutil.copytree(INSIDE, self.peer_folder, dirs_exist_ok=True)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path in sorted(INSIDE.iterdir()):
                archive.add(path, path.name)
            for name, content in self.job_files().items():
                info = tarfile.TarInfo(f"{name}.fio")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content.encode()))
        text = base64.b64encode(packed.getvalue()).decode()
        script = f"mkdir -p {GUEST_DIR} && cd {GUEST_DIR} && base64 -d <<'END' | tar xz\n{text}\nEND\n"
        self.guest.run(script, timeout=60).check()

    @staticmethod
    def job_files() -> dict[str, str]:
        """fio's job files by name."""
        return {
            "lanes": fio.lanes_job(DISK, STOP),
            "kept-written": fio.kept_job(DISK, "do_verify=0"),
            "kept-verified": fio.kept_job(DISK, "verify_only=1"),
        }

    def fio_command(self, name: str) -> str:
        return f"fio --output-format=json --output={name}.json {name}.fio"

    def write_kept(self) -> None:
        """Writes the data that is read back on the other host."""
        self.guest.run(f"cd {GUEST_DIR} && {self.fio_command('kept-written')}", timeout=180).check()

    def verify_kept(self) -> int:
        """Reads it back; fio's status."""
        return self.guest.run(f"cd {GUEST_DIR} && {self.fio_command('kept-verified')}", timeout=180).rc

    def start(self) -> None:
        """Starts all load. From here to `finish` there is no pause in it that the drivers did not make."""
        self.in_dom0("clock", f"python3 clock --port {self.clock_port}")
        self.in_dom0("stream", f"python3 stream --port {self.port} --rate {STREAM_RATE} --log stream.log")
        self.in_dom0("ping", f"ping -D -i {PING_INTERVAL} {self.guest.address()} >ping.log")
        address = self.peer.address
        self.begin("monitor", f"python3 monitor --disk {DISK} --card {CARD} --clock {address}:{self.clock_port} "
                              f"--stop {GUEST_DIR}/stop-monitor --log monitor.log")  # fmt: skip
        self.begin("stream", f"python3 stream --connect {address} --port {self.port} --rate {STREAM_RATE} "
                             f"--stop {STOP} --log stream.log")  # fmt: skip
        self.begin("fio", self.fio_command("lanes"))

    def wait_flowing(self, timeout: float = 180) -> None:
        """Waits until data flows on the disk and both ways on the network."""
        sector_count = (fio.KEPT_MIB + 1) << 11
        flowing = f"test -s {GUEST_DIR}/stream.log && test $(awk '{{print $7}}' /sys/block/{DISK}/stat) -gt {sector_count}"
        end = time.monotonic() + timeout
        while self.guest.run(flowing).rc != 0 or not self.peer_log_written():
            self.alive()
            if time.monotonic() > end:
                raise LabError(f"guest {self.guest.name}: the load does not flow after {timeout:.0f} s; logs: {self.peer_folder}")
            time.sleep(0.5)

    def peer_log_written(self) -> bool:
        log = self.peer_folder / "stream.log"
        return log.exists() and log.stat().st_size > 0

    def begin(self, name: str, command: str) -> None:
        self.jobs[name] = self.guest.start(f"cd {GUEST_DIR} && exec {command}")

    def in_dom0(self, name: str, command: str) -> None:
        """Starts a program in dom0 that goes on alone; its exit status goes to <name>.rc."""
        inner = f"cd /share/{self.shared}; {command}; echo $? >{name}.rc"
        quoted = inner.replace("'", "'\\''")
        self.peer.run(f"setsid sh -c 'echo $$ >/run/{self.shared}-{name}.pid; {quoted}' </dev/null "
                      f">/share/{self.shared}/{name}.out 2>&1 &", timeout=20).check()  # fmt: skip

    def signal_dom0(self, name: str, signal: str) -> None:
        """Signals a program of dom0 (not the shell around it, which notes how it ended)."""
        self.peer.run(f"pkill -{signal} -P $(cat /run/{self.shared}-{name}.pid) || true", timeout=20)

    def outside_time(self) -> float:
        """The peer's monotonic clock, the time of all results."""
        out = self.peer.run("python3 -c 'import time; print(time.monotonic(), time.time())'", timeout=20).check().out
        monotonic, real = map(float, out.split())
        self.real_offset = monotonic - real
        return monotonic

    def alive(self) -> None:
        """Raises if a part of the load has ended by itself."""
        for name, job in self.jobs.items():
            status = job.poll()
            if status is not None:
                raise LabError(f"guest {self.guest.name}: {name} ended early with {status}:\n{job.output[-1500:]}")

    def finish(self) -> dict[str, int]:
        """Ends the load in order; the exit status of each program in the guest, -1 for one that did not end."""
        self.guest.run(f"touch {STOP}", timeout=60).check()
        status = {name: self.ended(name) for name in self.jobs if name != "monitor"}
        self.guest.run(f"touch {GUEST_DIR}/stop-monitor", timeout=60).check()
        status["monitor"] = self.ended("monitor")
        return status

    def ended(self, name: str) -> int:
        try:
            return self.jobs[name].wait(ROUND_LIMIT).rc
        except LabError:
            return -1

    def collect(self) -> None:
        """Brings all results to the guest's folder on this machine. The guest's come over its console."""
        self.signal_dom0("ping", "INT")
        self.signal_dom0("clock", "TERM")
        self.wait_for(self.peer_folder / "stream.rc", 60)
        self.wait_for(self.peer_folder / "ping.rc", 20)
        for path in self.peer_folder.iterdir():
            if path.suffix in (".log", ".json", ".rc", ".out"):
                shutil.copy(path, self.folder / f"dom0-{path.name}")
        text = self.guest.run(f"cd {GUEST_DIR} && tar c *.log *.json | gzip -9 | base64 -w0", timeout=240).check().out
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(base64.b64decode(text)))) as archive:
            for member in archive.getmembers():
                stream = archive.extractfile(member)
                if stream:
                    (self.folder / Path(member.name).name).write_bytes(stream.read())

    @staticmethod
    def wait_for(path: Path, timeout: float) -> None:
        end = time.monotonic() + timeout
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.3)
