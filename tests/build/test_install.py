# SPDX-License-Identifier: GPL-2.0
"""`make KDIR=<tree>` and `make install DESTDIR=<folder>`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
OUT = CLONE / "build" / "kdir"
# The build takes place in a copy, so that it shares nothing with that of the clone.
COPY = OUT / "clone"
MODULES = ["rxenbus", "rxen_blkfront", "rxen_netfront", "rxen_suspend"]


def in_build_root(*command, **settings):
    """Runs a command in the build system; what it printed, with its exit code."""
    return subprocess.run(
        ["timeout", "--kill-after=10", "600", CLONE / "scripts" / "in-build-root", *command],
        cwd=COPY, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def kernel_tree():
    printed = subprocess.run([CLONE / "scripts" / "setup-kernel", "--print"], check=True, capture_output=True, text=True)
    return printed.stdout.strip()


@pytest.fixture(scope="module")
def installed():
    """The root folder of an installation from a build with KDIR=."""
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.copytree(CLONE, COPY, ignore=shutil.ignore_patterns("build", ".git"), symlinks=True)
    root = OUT / "root"
    (root / "etc" / "initramfs-tools").mkdir(parents=True)
    run = in_build_root("make", f"KDIR={kernel_tree()}", f"DESTDIR={root}", "install")
    (OUT / "make.log").write_text(run.stdout)
    assert run.returncode == 0, f"log: {OUT}/make.log\n{run.stdout[-3000:]}"
    return root


@pytest.fixture
def release(installed):
    folders = list((installed / "lib" / "modules").iterdir())
    assert len(folders) == 1
    return folders[0].name


def test_kdir_builds_for_that_tree(installed):
    built = {path.stem for path in (COPY / "build" / "modules").glob("*.ko")}
    assert built == set(MODULES)
    expected = in_build_root("make", "-s", "-C", kernel_tree(), "kernelrelease").stdout.strip()
    for module in MODULES:
        vermagic = in_build_root("modinfo", "-F", "vermagic", COPY / "build" / "modules" / f"{module}.ko").stdout
        assert vermagic.split()[0] == expected


def test_install_puts_files_in_place(installed, release):
    modules = {path.stem for path in (installed / "lib/modules" / release / "updates/rxen").glob("*.ko")}
    assert modules == set(MODULES)
    assert os.access(installed / "etc/initramfs-tools/hooks/rxen", os.X_OK)
    assert not (installed / "etc/dracut.conf.d").exists(), "there is no dracut in that root"


@pytest.mark.parametrize("wanted, module", [("xen:vbd", "rxen_blkfront"), ("xen:vif", "rxen_netfront")])
def test_modprobe_finds_the_modules(installed, release, wanted, module):
    shown = in_build_root(
        "modprobe", "-d", installed, "-S", release, "-C", installed / "etc/modprobe.d", "--show-depends", wanted
    )
    assert shown.returncode == 0, shown.stdout
    loaded = [Path(line.split()[1]).stem for line in shown.stdout.splitlines() if line.startswith("insmod")]
    assert loaded == ["rxenbus", module]


@pytest.mark.parametrize("rival, ours", [("xen_blkfront", "rxen_blkfront"), ("xen_netfront", "rxen_netfront")])
def test_modprobe_prefers_ours(installed, release, rival, ours):
    shown = in_build_root(
        "modprobe", "-d", installed, "-S", release, "-C", installed / "etc/modprobe.d", "--show-depends", rival
    )
    assert shown.returncode == 0, shown.stdout
    assert shown.stdout.startswith(f"install /sbin/modprobe -q {ours} || ")


@pytest.mark.parametrize("driver", ["ata_piix", "ahci", "e1000", "8139cp", "nvme"])
def test_modprobe_loads_the_core_before_drivers_of_emulated_devices(installed, driver):
    """So that what is emulated can be unplugged while nobody has it."""
    shown = in_build_root("modprobe", "-C", installed / "etc/modprobe.d", "--showconfig")
    assert shown.returncode == 0, shown.stdout
    assert f"softdep {driver} pre: rxenbus" in shown.stdout.splitlines()


def test_wrong_release_is_refused(installed):
    run = in_build_root("scripts/install-modules", "--release", "1.2.3", COPY / "build" / "modules", DESTDIR=str(OUT / "other"))
    assert run.returncode != 0
    assert "were built for kernel" in run.stdout
    assert not (OUT / "other").exists()


def test_remove(installed, release):
    copy = OUT / "removed"
    shutil.copytree(installed, copy)
    run = in_build_root("scripts/install-modules", "--remove", "--release", release, DESTDIR=str(copy))
    assert run.returncode == 0, run.stdout
    left = [path for path in copy.rglob("*") if "rxen" in path.name]
    assert left == []
