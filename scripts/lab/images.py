# SPDX-License-Identifier: GPL-2.0
"""What the machines boot: cached images, and the guests' kernels and RAM disks with the frontends of this build."""

import gzip
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
INSIDE = CLONE / "scripts" / "lab" / "inside"
MODULES = CLONE / "build" / "modules"

QEMU = "qemu-system-x86_64"

# In the order in which they are loaded. `native` is for guests without a C Xen core, where ours handles suspends too.
FRONTENDS = {
    "rust": ["rxenbus", "rxen_blkfront", "rxen_netfront"],
    "native": ["rxenbus", "rxen_suspend", "rxen_blkfront", "rxen_netfront"],
    "c": ["xen-blkfront", "xen-netfront"],
    "none": [],
}


@dataclass(frozen=True)
class Images:
    """The cached files that scripts/setup-lab made."""

    system: Path
    hypervisor: Path
    folder: Path
    qemu: str

    @classmethod
    def find(cls) -> "Images":
        printed = subprocess.run(
            [CLONE / "scripts" / "setup-lab", "--print"], check=True, capture_output=True, text=True
        ).stdout.split()
        system, xen, folder, qemu = map(Path, printed)
        if not all(path.is_dir() for path in (folder, xen, qemu)):
            raise FileNotFoundError("the lab is not set up: run scripts/setup-lab")
        return cls(system, xen / "xen", folder, QEMU if (qemu / "stock").exists() else str(qemu / QEMU))


# What a guest whose root is its RAM disk has besides busybox.
RAM_PROGRAMS = ["/usr/bin/bash", "/usr/bin/python3", "/usr/sbin/ethtool", "/usr/bin/kmod", "/usr/bin/xenstore"]
RAM_PYTHON = ["*.py", "collections", "encodings", "importlib", "json", "re", "lib-dynload/mmap*"]
# Names of /usr/bin/xenstore, each a command.
RAM_LINKS = [f"/usr/bin/xenstore-{verb}" for verb in ("chmod", "exists", "list", "ls", "read", "rm", "watch", "write")]


def own_kernel(kernel: str) -> Path:
    """The folder of a kernel that scripts/setup-own-kernel has built."""
    printed = subprocess.run(
        [CLONE / "scripts" / "setup-own-kernel", "--print", kernel], check=True, capture_output=True, text=True
    )
    folder = Path(printed.stdout.strip())
    if not (folder / "complete").exists():
        raise FileNotFoundError(f"kernel {kernel} is not there: run scripts/setup-own-kernel {kernel}")
    return folder


def kernel_image(kernel: str, images: Images) -> Path:
    """What the guest boots."""
    return images.folder / "guest-vmlinuz" if kernel == "stock" else own_kernel(kernel) / "vmlinuz"


def our_modules(kernel: str) -> Path:
    """Where `make modules`, or `make modules-<kernel>`, puts ours for that kernel."""
    return MODULES if kernel == "stock" else CLONE / "build" / kernel / "modules"


def frontend_files(frontends: str, images: Images, kernel: str = "stock") -> list[Path]:
    """The module files of a set of frontends; those of own kernels have no C frontends."""
    folder = images.folder / "c-frontends" if frontends == "c" else our_modules(kernel)
    return [folder / f"{name}.ko" for name in FRONTENDS[frontends]]


def build_guest_initrd(frontends: str, images: Images, target: Path, kernel: str = "stock") -> None:
    """The cached RAM disk with an archive behind it that holds the lab's scripts and the frontends."""
    work = target.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    for name in ("frontends", "lab"):
        (work / name).mkdir(parents=True)
    shutil.copy(INSIDE / "guest-initrd-init", work / "init")
    for name in ("guest-init", "guest-agent", "tcp-stream"):
        shutil.copy(INSIDE / name, work / "lab" / name)
    # All modules are carried, for tests that load what is not loaded at boot; but no rival of ours.
    rivals = "c" if kernel == "stock" and frontends in ("c", "none") else "none"
    for path in frontend_files("native", images, kernel) + frontend_files(rivals, images):
        if path.exists():
            shutil.copy(path, work / "frontends" / path.name)
    loaded = [] if kernel == "builtin" else frontend_files(frontends, images, kernel)
    # A kernel whose modules are not built yet is still good for a guest without devices.
    (work / "lab" / "frontends").write_text("".join(f"{path.stem}\n" for path in loaded if path.exists()))
    if kernel != "stock":
        add_kernel_modules(own_kernel(kernel), work)
    append_archive(work, images.folder / "guest-initrd-base", target)


def add_kernel_modules(kernel: Path, work: Path) -> None:
    """The few modules of an own kernel, for modprobe."""
    release = (kernel / "objects" / "include" / "config" / "kernel.release").read_text().strip()
    folder = work / "lib" / "modules" / release
    shutil.copytree(kernel / "modules", folder)
    subprocess.run(["/sbin/depmod", "-b", work, release], check=True, capture_output=True)


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
    for link in RAM_LINKS:
        (work / link.lstrip("/")).symlink_to("xenstore")
    append_archive(work, base, target)


def provide_boot_files(images: Images, share: Path, kernel: str, frontends: str, ram: bool) -> tuple[str, str]:
    """The names of a kernel and of a RAM disk in `share`, which are made when a guest first needs them."""
    image = f"vmlinuz-{kernel}"
    if not (share / image).exists():
        shutil.copy(kernel_image(kernel, images), share / image)
    initrd = f"initrd-{kernel}-{frontends}"
    if not (share / initrd).exists():
        build_guest_initrd(frontends, images, share / initrd, kernel)
    if ram and not (share / f"{initrd}-ram").exists():
        build_ram_initrd(share / initrd, images, share / f"{initrd}-ram")
    return image, initrd + ("-ram" if ram else "")


def forget_boot_files(share: Path) -> None:
    """So that the next guest gets the kernel and the modules of the latest build."""
    for pattern in ("vmlinuz-*", "initrd-*"):
        for path in share.glob(pattern):
            path.unlink()
