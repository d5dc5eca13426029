# SPDX-License-Identifier: GPL-2.0
"""Two Xen hosts, linked by a network, with disks that both can open, so that guests can move between them."""

import shutil
import subprocess
from pathlib import Path

from .host import Host, LabError
from .images import CLONE, Images, forget_boot_files

# Common disks, by their names in both dom0s: roots of guests, then data disks.
ROOTS = ["vdb", "vdc", "vdd", "vde"]
DATA = ["vdf", "vdg", "vdh", "vdi"]
DATA_MIB = 96


class Lab:
    """The running lab. As a context manager it ends everything it started."""

    def __init__(self, folder: Path = CLONE / "build" / "lab", hosts: int = 2, join: bool = False):
        self.folder = folder
        self.images = Images.find()
        if join:
            hosts = sum((folder / name / "port").exists() for name in ("a", "b"))
            disks = []
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            disks = self.make_disks()
        names = [("a", "10.9.0.1"), ("b", "10.9.0.2")][:hosts]
        self.hosts = [
            Host(name, address, folder / name, self.images, disks, self.link(name) if hosts > 1 else [])
            for name, address in names
        ]

    @property
    def a(self) -> Host:
        return self.hosts[0]

    @property
    def b(self) -> Host:
        return self.hosts[1]

    @classmethod
    def join(cls, folder: Path) -> "Lab":
        """A lab that another process has started and will stop; see scripts/lab/run."""
        lab = cls(folder, join=True)
        if not lab.hosts:
            raise LabError(f"no lab runs in {folder}")
        for host in lab.hosts:
            host.join()
            host.run("true", timeout=30)
            # New guests get the modules of the latest build.
            lab.fill_share(host)
        return lab

    def make_disks(self) -> list[Path]:
        """Root disks are copies of the system's image; data disks are empty."""
        paths = []
        for name in ROOTS:
            paths.append(self.reset_root(name))
        for name in DATA:
            path = self.folder / f"{name}.img"
            with open(path, "wb") as file:
                file.truncate(DATA_MIB << 20)
            paths.append(path)
        return paths

    def reset_root(self, name: str) -> Path:
        """Makes a root disk that no guest uses fresh again. The file stays the same one: QEMU has it open."""
        path = self.folder / f"{name}.img"
        subprocess.run(["cp", "--sparse=always", self.images.folder / "root.img", path], check=True)
        return path

    def link(self, name: str) -> list[str]:
        """QEMU's end of the virtual cable between the hosts."""
        peer = {"a": "b", "b": "a"}[name]
        return ["-netdev", f"dgram,id=lab,local.type=unix,local.path={self.folder}/{name}.cable,"
                           f"remote.type=unix,remote.path={self.folder}/{peer}.cable"]  # fmt: skip

    def fill_share(self, host: Host) -> None:
        """What dom0 needs: its own scripts. The guests' kernels and RAM disks come with the guests."""
        inside = host.share / "inside"
        shutil.copytree(CLONE / "scripts" / "lab" / "inside", inside, dirs_exist_ok=True)
        forget_boot_files(host.share)

    def start(self) -> "Lab":
        for host in self.hosts:
            host.folder.mkdir(parents=True, exist_ok=True)
            host.share.mkdir(exist_ok=True)
            self.fill_share(host)
            host.start()
        try:
            for host in self.hosts:
                host.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        for host in self.hosts:
            host.stop()

    def __enter__(self) -> "Lab":
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()
