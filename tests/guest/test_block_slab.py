# SPDX-License-Identifier: GPL-2.0
"""Payload in memory of the slab allocators, which is copied instead of lent: XFS has its small blocks there."""

import re

import pytest
from farm import data_disks
from lab.guest import Disk

IMAGE = "/srv/slab.img"
TRACING = "/sys/kernel/tracing"
# How often the driver has copied a segment; of its own functions, this one does so.
COUNTED = f"awk '$1 == \"copied\" {{ print $2 }}' {TRACING}/kprobe_profile"


@pytest.fixture(params=["blkback", "qemu"])
def guest(farm, kind, request):
    """A guest with XFS and an empty disk."""
    farm.lab.a.run(f"rm -f {IMAGE} && truncate -s 320M {IMAGE}").check()
    # With a disk of QEMU from the beginning: only then is there one that can attach more.
    guest = farm.get("slab", kind, disks=data_disks(), cmdline="labmodules=xfs")
    guest.attach_disk(Disk(IMAGE, "xvdh", backend=request.param))
    guest.run("for n in $(seq 100); do [ -b /dev/xvdh ] && exit 0; sleep 0.1; done; exit 1").check()
    yield guest
    guest.run("umount /mnt 2>/dev/null; true").check()
    guest.detach_disk("xvdh")
    farm.lab.a.run(f"rm {IMAGE}").check()


def test_small_blocks_of_a_file_system(guest):
    """Files and metadata are read back from the disk by a new mount, and by the checker."""
    prepare = f"""set -e
    mount -t tracefs tracefs {TRACING} 2>/dev/null || true
    echo 'p:copied rxen_mq_copy' >{TRACING}/kprobe_events
    echo 1 >{TRACING}/events/kprobes/copied/enable"""
    guest.run(prepare).check()
    write = """set -e
    mkfs.xfs -q -f -b size=1024 /dev/xvdh
    mount -t xfs /dev/xvdh /mnt
    cd /mnt
    for n in $(seq 150); do mkdir -p d$n; head -c $((n * 97)) /dev/urandom >d$n/f; ln -s f d$n/a-link-to-a-file-of-this-folder; done
    md5sum d*/f >sums
    cd /; umount /mnt"""
    read = """set -e
    echo 3 >/proc/sys/vm/drop_caches
    mount -t xfs /dev/xvdh /mnt
    cd /mnt; md5sum -c --quiet sums; [ $(cat d*/a-link* | wc -c) = $(cat d*/f | wc -c) ]
    cd /; umount /mnt
    xfs_repair -n /dev/xvdh >/run/repair 2>&1 || { cat /run/repair; exit 1; }"""
    counts = [0]
    try:
        for script in (write, read):
            guest.run(script, timeout=240).check()
            counts.append(int(guest.run(COUNTED).check().out))
    finally:
        guest.run(f"echo 0 >{TRACING}/events/kprobes/copied/enable; echo >{TRACING}/kprobe_events").check()
    written, read_back = counts[1], counts[2] - counts[1]
    assert written > 50 and read_back > 20, counts
    log = guest.dmesg()
    assert not re.search(r"XFS.*([Cc]orrupt|error)|I/O error", log), log[-3000:]
