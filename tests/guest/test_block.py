# SPDX-License-Identifier: GPL-2.0
"""Disks: what drives them, and all kinds of requests with the data checked."""

import re
import time

import pytest
from loads import fio

# Each kind of request works on its own part of the disk.
REQUESTS = {
    "direct-small": {"rw": "randwrite", "bssplit": "512/10:4k/80:16k/10", "offset": "0", "size": "2m", "iodepth": 8},
    "large": {"rw": "write", "bs": "512k", "offset": "2m", "size": "12m", "iodepth": 4},
    "flush": {"rw": "randwrite", "bs": "4k", "offset": "16m", "size": "1m", "fsync": 4},
    "fua": {"rw": "randwrite", "bs": "8k", "offset": "18m", "size": "1m", "sync": "dsync"},
    "mixed": {"rw": "randrw", "bssplit": "4k/60:64k/30:256k/10", "offset": "20m", "size": "6m", "iodepth": 16},
    "sync-engine": {"rw": "randwrite", "bs": "4k", "offset": "28m", "size": "1m", "ioengine": "psync"},
}


def statistics(guest, disk: str) -> dict[str, int]:
    """Requests that the guest's kernel has counted."""
    fields = [int(field) for field in guest.run(f"cat /sys/block/{disk}/stat").check().out.split()]
    return {"read": fields[0], "write": fields[4], "discard": fields[11], "flush": fields[15]}


@pytest.mark.each_kind
def test_root_is_on_our_driver(guest):
    out = guest.run("readlink /sys/block/xvd?/device/driver; cat /proc/mounts; cut -d' ' -f1 /proc/modules").check().out
    assert re.findall(r"drivers/(\S+)", out) == ["rxen_blkfront"] * 3
    assert re.search(r"^/dev/xvda / ext4 rw", out, re.M)
    modules = out.split()
    assert "rxen_blkfront" in modules
    assert not {"xen_blkfront", "xen_netfront"} & set(modules)


@pytest.mark.each_kind
def test_every_kind_of_request(guest):
    """On both backends at once."""
    before = {disk: statistics(guest, disk) for disk in ("xvdb", "xvdc")}
    jobs = {}
    for name, options in REQUESTS.items():
        for number, disk in enumerate(before):
            # The first of each pair waits for the pair before it.
            wait = {"stonewall": None} if number == 0 else {}
            jobs[f"{disk}-{name}"] = {"filename": f"/dev/{disk}", **options, **wait}
    for job in fio(guest, jobs, timeout=500).values():
        assert job["write"]["io_bytes"] and job["read"]["io_bytes"]
    for disk, counts in before.items():
        after = statistics(guest, disk)
        # 64 fsyncs and 128 writes with FUA, which this protocol does as a write and a flush.
        assert after["flush"] - counts["flush"] >= 150, f"{disk}: {counts} {after}"


def test_large_requests_are_indirect(guest):
    """xen-blkback offers indirect requests, QEMU does not."""
    out = guest.run("cat /sys/block/xvd[bc]/queue/max_segments /sys/block/xvd[bc]/queue/max_hw_sectors_kb").check().out
    assert out.split() == ["32", "11", "128", "44"]


def test_discard_and_zeroes_leave_the_rest_alone(guest):
    """A pattern in three parts; the middle is discarded, then zeroed."""
    part = 1 << 20
    script = f"""set -e
    for disk in xvdb xvdc; do
        yes abcdefg | head -c {3 * part} | dd of=/dev/$disk bs=64k iflag=fullblock oflag=direct seek=$((40 << 4)) status=none
        before=$(awk '{{ print $12 }}' /sys/block/$disk/stat)
        echo $disk granularity $(cat /sys/block/$disk/queue/discard_granularity)
        if [ $(cat /sys/block/$disk/queue/discard_max_bytes) != 0 ]; then
            blkdiscard -o {41 * part} -l {part} /dev/$disk
            echo $disk discards $(($(awk '{{ print $12 }}' /sys/block/$disk/stat) - before))
        fi
        blkdiscard -z -o {41 * part} -l {part} /dev/$disk
        for at in 40 41 42; do
            dd if=/dev/$disk bs=1M count=1 skip=$at iflag=direct status=none | md5sum | sed "s/^/$disk $at /"
        done
    done
    yes abcdefg | head -c {part} | md5sum | sed 's/^/pattern /'
    head -c {part} /dev/zero | md5sum | sed 's/^/zeroes /'"""
    out = guest.run(script, timeout=120).check().out
    sums = dict(re.findall(r"^(.*) ([0-9a-f]{32})\b", out, re.M))
    for disk in ("xvdb", "xvdc"):
        assert [sums[f"{disk} {at}"] for at in (40, 41, 42)] == [sums["pattern"], sums["zeroes"], sums["pattern"]]
        # Both backends of the lab can discard.
        assert int(re.search(rf"{disk} discards (\d+)", out)[1]) >= 1


def test_files_on_the_root_disk(guest):
    """The file system above: buffered writes with fsync, checked after its caches are dropped."""
    script = """set -e
    mkdir -p /srv/files; cd /srv/files
    for n in $(seq 20); do head -c $((n * 17000)) /dev/urandom >f$n; done
    sync; md5sum f* >sums; sync
    echo 3 >/proc/sys/vm/drop_caches
    md5sum -c --quiet sums; rm -r /srv/files; sync"""
    guest.run(script, timeout=120).check()


def test_three_disks_at_once(guest):
    jobs = {
        disk: {"filename": path, "rw": "randrw", "bssplit": "4k/70:64k/30", "offset": "32m", "size": "6m", "iodepth": 8}
        for disk, path in {"xvdb": "/dev/xvdb", "xvdc": "/dev/xvdc"}.items()
    }
    jobs["xvda"] = {"filename": "/srv/fio.data", "rw": "randrw", "bs": "4k", "size": "6m", "iodepth": 8}
    fio(guest, jobs, timeout=240)
    guest.run("rm /srv/fio.data").check()


# In dom0: those that serve a guest's disks, its device model among them.
SERVERS = """domid=$(xl domid {name}); for p in /proc/[0-9]*; do
    tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q -- "-xen-domid $domid " && echo ${{p#/proc/}}
done; true"""


def test_a_backend_that_is_silent_is_told_again(guest):
    """QEMU stands still for a while: requests wait, the log has one line, and then all is well."""
    pids = " ".join(guest.host.run(SERVERS.format(name=guest.name)).check().out.split())
    assert pids
    guest.run("echo 2000 >/sys/block/xvdc/queue/io_timeout; dmesg -C").check()
    # The console may go by way of QEMU too.
    job = guest.start("sleep 4; for i in 1 2 3; do dd if=/dev/xvdc of=/dev/null bs=4k count=16 iflag=direct || exit 1; done")
    time.sleep(1)
    try:
        guest.host.run(f"kill -STOP {pids}").check()
        # Not longer: a processor may wait for the device model meanwhile.
        time.sleep(12)
    finally:
        guest.host.run(f"kill -CONT {pids}").check()
    job.wait(60).check()
    guest.run("echo 30000 >/sys/block/xvdc/queue/io_timeout").check()
    lines = re.findall(r"no answer for 2 s; the backend is (\w+) and was notified again", guest.dmesg())
    assert lines == ["Connected"], lines
