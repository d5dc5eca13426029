# SPDX-License-Identifier: GPL-2.0
"""What the machines boot: cached images, and the guests' RAM disk with the frontends of this build."""

import gzip
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
INSIDE = CLONE / "scripts" / "lab" / "inside"
MODULES = CLONE / "build" / "modules"

# In the order in which they are loaded.
FRONTENDS = {
    "rust": ["rxenbus", "rxen_blkfront", "rxen_netfront"],
    "c": ["xen-blkfront", "xen-netfront"],
    "none": [],
}


@dataclass(frozen=True)
class Images:
    """The cached files that scripts/setup-lab made."""

    system: Path
    hypervisor: Path
    folder: Path

    @classmethod
    def find(cls) -> "Images":
        printed = subprocess.run(
            [CLONE / "scripts" / "setup-lab", "--print"], check=True, capture_output=True, text=True
        ).stdout.split()
        system, xen, folder = map(Path, printed)
        if not folder.is_dir() or not xen.is_dir():
            raise FileNotFoundError("the lab is not set up: run scripts/setup-lab")
        return cls(system, xen / "xen", folder)


# What a guest whose root is its RAM disk has besides busybox.
RAM_PROGRAMS = ["/usr/bin/bash", "/usr/bin/python3", "/usr/sbin/ethtool", "/usr/bin/kmod"]
RAM_PYTHON = ["*.py", "collections", "encodings", "importlib", "json", "re", "lib-dynload/mmap*"]


def frontend_files(frontends: str, images: Images) -> list[Path]:
    """The module files of a set of frontends."""
    folder = MODULES if frontends == "rust" else images.folder / "c-frontends"
    return [folder / f"{name}.ko" for name in FRONTENDS[frontends]]


def build_guest_initrd(frontends: str, images: Images, target: Path) -> None:
    """The cached RAM disk with an archive behind it that holds the lab's scripts and the frontends."""
    work = target.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    for name in ("frontends", "lab", "etc"):
        (work / name).mkdir(parents=True)
    shutil.copy(INSIDE / "guest-initrd-init", work / "init")
    for name in ("guest-init", "guest-agent", "tcp-stream"):
        shutil.copy(INSIDE / name, work / "lab" / name)
    # All modules are carried, for tests that load what is not loaded at boot.
    for kind in ("rust", "c"):
        for path in frontend_files(kind, images):
            if path.exists():
                shutil.copy(path, work / "frontends" / path.name)
    if frontends == "rust":
        for path in frontend_files("c", images):
            (work / "frontends" / path.name).unlink()
    (work / "etc" / "frontends").write_text("\n".join(FRONTENDS[frontends]) + "\n")
    (work / "etc" / "extra-modules").write_text("")
    append_archive(work, images.folder / "guest-initrd-base", target)


def append_archive(work: Path, base: Path, target: Path) -> None:
    """Writes a RAM disk: that of `base`, overlaid by the folder `work`, which is removed."""
    archive = subprocess.run(
        "find . | cpio --quiet -o -H newc", shell=True, cwd=work, check=True, capture_output=True
    ).stdout
    shutil.rmtree(work)
    with open(target, "wb") as out:
        out.write(base.read_bytes())
        out.write(gzip.compress(archive, 1))


def build_ram_initrd(base: Path, images: Images, target: Path) -> None:
    """A RAM disk that is the guest's root (labroot=ram), for tests that unload the driver of all disks."""
    root = images.system / "root"
    work = target.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    files = {Path(program): root / program.lstrip("/") for program in RAM_PROGRAMS}
    for program in RAM_PROGRAMS:
        listed = subprocess.run(["chroot", root, "ldd", program], check=True, capture_output=True, text=True).stdout
        for word in listed.split():
            if word.startswith("/"):
                files[Path(word)] = root / word.lstrip("/")
    python = next((root / "usr/lib").glob("python3.*"))
    for pattern in RAM_PYTHON:
        for found in python.glob(pattern):
            paths = [path for path in (found.rglob("*.py") if found.is_dir() else [found]) if path.exists()]
            files.update({Path("/") / path.relative_to(root): path for path in paths})
    for path, source in files.items():
        copy = work / str(path).lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    append_archive(work, base, target)
