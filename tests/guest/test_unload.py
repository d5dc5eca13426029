# SPDX-License-Identifier: GPL-2.0
"""The modules: unloading and loading again, and refusals where they have no business."""

import re
import shutil
import subprocess
import time

import pytest
from farm import LOAD_MODULES, UNLOAD_MODULES, grants
from lab.guest import Disk
from lab.host import die_with_parent
from lab.images import Images, build_guest_initrd
from lab.pair import CLONE, DATA

# In the everyday run and in the thorough one.
ROUNDS = (2, 20)

# Writes a pattern of its own with O_DIRECT and reads it back; the RAM disk has no fio.
READ_BACK = """
import mmap, os, random, sys
for disk in sys.argv[2:]:
    data = random.Random(disk + sys.argv[1]).randbytes(1 << 18)
    buffer, back = mmap.mmap(-1, len(data)), mmap.mmap(-1, len(data))
    buffer.write(data)
    file = os.open(disk, os.O_RDWR | os.O_DIRECT)
    assert os.pwritev(file, [buffer], 0) == len(data)
    os.fsync(file)
    assert os.preadv(file, [back], 0) == len(data)
    assert back[:] == data
"""


@pytest.fixture
def rootless(farm, kind):
    """A guest whose root is its RAM disk, so that no disk keeps the driver loaded."""
    disks = [Disk(f"/dev/{DATA[0]}", "xvdb"), Disk(f"/dev/{DATA[1]}", "xvdc", backend="qemu")]
    return farm.get("ram", kind, root="ram", memory=512, disks=disks, vifs=1)


def grant_table(host, guest) -> list[str]:
    """The guest's entries in the hypervisor's own dump of all grant tables."""
    domid = host.run(f"xl domid {guest.name}").check().out.strip()
    host.run("xl dmesg -c >/dev/null; xl debug-keys g").check()
    time.sleep(1)
    dump = host.run("xl dmesg").check().out
    assert re.search(rf"-+ active entries -+|no active grant table entries|d{domid} ", dump), dump[-2000:]
    section = re.split(r"grant-table for remote d", dump)
    mine = [part for part in section[1:] if re.match(rf"{domid} ", part)]
    assert len(mine) == 1, f"no grant table of domain {domid} in:\n{dump[-3000:]}"
    return re.findall(r"^\(XEN\)(?:\s*\[[^]]*\])?\s*\[0x[0-9a-f]+\].*$", mine[0], re.M)


@pytest.mark.each_kind
def test_unload_and_load_many_times(rootless, farm, times):
    rounds = times(*ROUNDS)
    host = farm.lab.a
    disk_test = "/run/read-back"
    rootless.put(disk_test, READ_BACK.encode())
    assert rootless.run("ls /sys/block | grep xvd").out.split() == ["xvdb", "xvdc"]
    rootless.run(UNLOAD_MODULES, timeout=60).check()
    unused = grant_table(host, rootless)
    script = f"""set -e
    for n in $(seq {rounds}); do
        {LOAD_MODULES}
        for t in $(seq 200); do [ -b /dev/xvdb ] && [ -b /dev/xvdc ] && break; sleep 0.1; done
        python3 {disk_test} $n /dev/xvdb /dev/xvdc
        grep -E '^(deferred|leaked) [1-9]' /sys/kernel/debug/rxenbus/grants && exit 9
        {UNLOAD_MODULES}
        [ ! -e /dev/xvdb ]
        echo round $n
    done"""
    result = rootless.run(script, timeout=60 + 45 * rounds)
    assert result.rc == 0, result.out[-2000:]
    assert result.out.count("round ") == rounds
    assert grant_table(host, rootless) == unused
    rootless.run(LOAD_MODULES).check()
    counts = grants(rootless)
    assert counts["leaked"] == counts["deferred"] == 0
    assert len(grant_table(host, rootless)) > len(unused)


def test_unload_is_refused_while_a_disk_is_in_use(rootless):
    """An open disk and a mounted one."""
    script = """exec 3</dev/xvdb
    rmmod rxen_blkfront && echo unloaded
    rmmod rxenbus && echo unloaded
    exec 3<&-
    exit 0"""
    out = rootless.run(script).check().out
    assert "unloaded" not in out
    assert out.count("Resource temporarily unavailable") == 2, out


@pytest.mark.timeout(300)
def test_core_refuses_without_xen(tmp_path):
    """The guests' kernel in QEMU without Xen."""
    images = Images.find()
    # The RAM disk of the lab: its first process loads our modules.
    build_guest_initrd("rust", images, tmp_path / "initrd")
    console = tmp_path / "console"
    qemu = subprocess.Popen(
        ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "384M", "-nodefaults", "-no-reboot",
         "-display", "none", "-serial", f"file:{console}", "-kernel", str(images.folder / "guest-vmlinuz"),
         "-initrd", str(tmp_path / "initrd"), "-append", "console=ttyS0 loglevel=7 labroot=none"],
        stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
    )  # fmt: skip
    try:
        text = ""
        end = time.monotonic() + 240
        while "guest ready without a root" not in text and time.monotonic() < end:
            assert qemu.poll() is None, f"QEMU ended:\n{text[-2000:]}"
            time.sleep(0.5)
            text = console.read_text(errors="replace") if console.exists() else ""
    finally:
        qemu.kill()
        qemu.wait(20)
        kept = CLONE / "build" / "test-logs" / "without-xen.console"
        kept.parent.mkdir(parents=True, exist_ok=True)
        if console.exists():
            shutil.copy(console, kept)
    assert "rxenbus: not loaded: this machine does not run on Xen" in text, text[-2000:]
    assert "insmod rxenbus failed" in text
    # The frontends need the core's symbols.
    assert "insmod rxen_blkfront failed" in text
    assert not re.search(r"BUG:|Oops|Call Trace", text)


@pytest.fixture
def with_c_frontends(farm):
    """A guest whose root is on the kernel's own xen-blkfront."""
    return farm.get("c", "pvh", frontends="c", vifs=1)


def test_frontends_refuse_while_the_c_frontends_own_the_devices(with_c_frontends):
    script = """dmesg -C
    insmod /run/modules/rxenbus.ko || exit 1
    for m in rxen_blkfront rxen_netfront; do
        [ -e /run/modules/$m.ko ] || continue
        insmod /run/modules/$m.ko && echo "$m loaded"
    done
    rmmod rxenbus
    dmesg"""
    out = with_c_frontends.run(script).check().out
    assert " loaded" not in out.replace("not loaded", "")
    refusals = re.findall(r"insmod: ERROR: could not insert module .*?(\w+)\.ko: (.*)", out)
    assert ("rxen_blkfront", "Device or resource busy") in refusals, out
    assert re.search(r"rxen_blkfront: not loaded: .*unload .*first", out), out
    if "rxen_netfront" in dict(refusals):
        assert ("rxen_netfront", "Device or resource busy") in refusals, out
        assert re.search(r"rxen_netfront.*not loaded: .*unload .*first", out), out
    # Nothing of it disturbed the C driver.
    with_c_frontends.run("dd if=/dev/xvda of=/dev/null bs=1M count=4 iflag=direct").check()
