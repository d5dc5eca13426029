# SPDX-License-Identifier: GPL-2.0
"""Load in a guest that checks what it reads: fio with verify, and TCP streams with checksums."""

import json
import re
import time

from lab.guest import Guest
from lab.host import Host, LabError

# Common to all: what is read back is compared, and the first difference ends the run.
FIO_GLOBAL = {
    "thread": 1, "ioengine": "libaio", "direct": 1, "verify": "crc32c", "verify_fatal": 1, "verify_dump": 0,
    "do_verify": 1, "norandommap": 0, "randrepeat": 1, "group_reporting": 0,
}  # fmt: skip


def job_file(jobs: dict[str, dict], common: dict | None = None) -> str:
    """fio's job file. A job's options are those of fio; None stands for an option without a value."""
    lines = []
    for section, options in {"global": FIO_GLOBAL | (common or {}), **jobs}.items():
        lines.append(f"[{section}]")
        lines += [name if value is None else f"{name}={value}" for name, value in options.items()]
    return "\n".join(lines) + "\n"


def fio_report(text: str) -> dict:
    """fio's JSON, behind whatever it has printed before."""
    start = text.find("\n{") + 1 if not text.startswith("{") else 0
    try:
        return json.loads(text[start:])
    except ValueError:
        raise AssertionError(f"fio left no report:\n{text[-2000:]}") from None


def fio(guest: Guest, jobs: dict[str, dict], timeout: float, common: dict | None = None) -> dict[str, dict]:
    """Runs jobs to their end; each must end without error. Returns fio's figures by job."""
    script = f"cat >/run/fio.job <<'END'\n{job_file(jobs, common)}END\nfio --output-format=json --output=/run/fio.json /run/fio.job 2>&1; rc=$?; cat /run/fio.json; exit $rc"
    result = guest.run(script, timeout)
    assert result.rc == 0, f"fio failed with {result.rc}:\n{result.out[-3000:]}"
    report = {job["jobname"]: job for job in fio_report(result.out)["jobs"]}
    assert set(report) == set(jobs)
    assert not [name for name, job in report.items() if job["error"]]
    return report


class DiskLoad:
    """fio that writes and verifies until it is stopped."""

    def __init__(self, guest: Guest, disks: list[str], region: str = "16m", rate: str = "400k", offset: str = "0"):
        self.guest = guest
        self.disks = disks
        jobs = {
            disk: {
                "filename": disk if disk.startswith("/") else f"/dev/{disk}", "rw": "randwrite", "bssplit": "4k/50:32k/40:128k/10",
                "size": region, "offset": offset, "iodepth": 4, "rate": f"{rate},{rate}", "verify_backlog": 32, "fsync": 64,
            }
            for disk in disks
        }  # fmt: skip
        common = {"time_based": 1, "runtime": 3000}
        # exec: a stop is a signal to fio itself, which then reports.
        self.job = guest.start(
            f"cat >/run/load.job <<'END'\n{job_file(jobs, common)}END\necho $$ >/run/load.pid\n"
            "exec fio --output-format=json --output=/run/load.json /run/load.job"
        )

    def moved(self) -> dict[str, tuple[int, int]]:
        """Sectors read and sectors written so far, by disk, as the guest's kernel counts them."""
        out = self.guest.run("grep -H . /sys/block/xvd*/stat").check().out
        counts = {}
        for name, figures in re.findall(r"/sys/block/(\w+)/stat:\s*(.*)", out):
            fields = figures.split()
            counts[name] = int(fields[2]), int(fields[6])
        return counts

    def wait_progress(self, timeout: float = 180, sectors: int = 200) -> None:
        """Waits until each disk was written to and read from, so many sectors in all."""
        names = [disk for disk in self.disks if not disk.startswith("/")] or ["xvda"]
        start = self.moved()
        end = time.monotonic() + timeout
        while True:
            time.sleep(0.5)
            now = self.moved()
            # fio verifies 32 blocks after it has written them.
            moved = [[after - before for before, after in zip(start[name], now[name], strict=True)] for name in names]
            if all(min(disk) > 0 and sum(disk) >= sectors for disk in moved):
                return
            if self.job.poll() is not None:
                raise AssertionError(f"fio ended early:\n{self.job.output[-3000:]}\n{self.report_text()[-3000:]}")
            if time.monotonic() > end:
                raise LabError(f"guest {self.guest.name}: no progress in {timeout} s: {start} -> {now}")

    def report_text(self) -> str:
        return self.guest.run("cat /run/load.json", timeout=60).out

    def stop(self, timeout: float = 120) -> dict[str, dict]:
        """Stops fio, which must have seen no error; its figures by disk."""
        assert self.job.poll() is None, f"fio ended early:\n{self.job.output[-3000:]}\n{self.report_text()[-2000:]}"
        self.guest.run("kill -INT $(cat /run/load.pid)").check()
        self.job.wait(timeout)
        jobs = {job["jobname"]: job for job in fio_report(self.report_text())["jobs"]}
        for name, job in jobs.items():
            assert job["error"] == 0, f"{name}: fio's error {job['error']}:\n{self.job.output[-2000:]}"
            assert job["write"]["io_bytes"] and job["read"]["io_bytes"], f"{name}: nothing was written or verified"
        return jobs


class NetworkLoad:
    """A TCP connection between a guest and dom0 of a host, with checked data both ways until it is stopped."""

    PORT = 7000

    def __init__(self, guest: Guest, server: Host, card: int = 0, rate: int = 50_000, seconds: int = 3000):
        self.guest = guest
        self.card = card
        self.address = f"10.9.{card}.{server.address.rsplit('.', 1)[1]}"
        self.ensure_server(server)
        self.job = guest.start(f"echo $$ >/run/stream.{card}.pid; exec python3 /run/lab/tcp-stream send {self.address} {self.PORT} {seconds} {rate}")
        self.wait_connected()

    def wait_connected(self, timeout: float = 120) -> None:
        """A connection that is there outlives what a new one may not: no answer to ARP for three seconds."""
        end = time.monotonic() + timeout
        while "connected" not in self.job.output:
            self.assert_alive()
            if time.monotonic() > end:
                raise LabError(f"guest {self.guest.name}: no TCP connection to {self.address} in {timeout:.0f} s")
            time.sleep(0.3)

    @classmethod
    def ensure_server(cls, host: Host) -> None:
        """The other end in dom0, which stays."""
        # Hosts have an address on the first card's network only.
        host.run(
            "for card in 1 2 3; do ip addr add 10.9.$card.$(ip -4 -o addr show xenbr0 | sed -n 's/.* 10\\.9\\.0\\.\\([0-9]*\\).*/\\1/p')/24"
            " dev xenbr0 2>/dev/null; done; true",
            timeout=60,
        )
        host.run(
            f"ss -ltn | grep -q ':{cls.PORT} ' || {{ setsid /share/inside/tcp-stream serve {cls.PORT} </dev/null"
            f" >/share/tcp-stream.log 2>&1 & }}; for n in $(seq 100); do ss -ltn | grep -q ':{cls.PORT} ' && exit 0; sleep 0.2; done; exit 1",
            timeout=60,
        ).check()

    def assert_alive(self) -> None:
        assert self.job.poll() is None, f"the TCP connection has ended:\n{self.job.output[-2000:]}"

    def stop(self, timeout: float = 200) -> dict:
        """Ends the stream, which must have been without error; its figures."""
        self.assert_alive()
        self.guest.run(f"kill -INT $(cat /run/stream.{self.card}.pid)").check()
        return self.finish(timeout)

    def finish(self, timeout: float) -> dict:
        """Waits for the end that it was given."""
        result = self.job.wait(timeout)
        report = json.loads(result.out.strip().splitlines()[-1])
        assert result.rc == 0 and not report["error"], result.out
        assert report["received"] == report["sent"] > 0
        return report


class Load:
    """fio on both data disks and a TCP connection to a host, slow enough to leave time for the toolstack."""

    def __init__(self, guest: Guest, server: Host):
        self.disks = DiskLoad(guest, ["xvdb", "xvdc"], rate="200k")
        self.network = NetworkLoad(guest, server, rate=20_000)
        self.go_on()

    def go_on(self) -> None:
        """Waits until both disks have moved on; the connection must live."""
        self.network.assert_alive()
        self.disks.wait_progress(120)

    def stop(self) -> None:
        """Ends it all, which must have been without error to the last."""
        self.go_on()
        self.disks.stop()
        self.network.stop()
