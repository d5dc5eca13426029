# SPDX-License-Identifier: GPL-2.0
"""Kernels that scripts/setup-own-kernel builds: with our modules built in, and the one that looks for faults."""

import re

import pytest
from farm import data_disks

pytestmark = pytest.mark.thorough


def test_built_in(farm):
    """A PVH guest with root on our disk and a card, and not one module loaded."""
    guest = farm.get("builtin", "builtin", disks=data_disks(), vifs=1)
    script = f"""cat /proc/mounts; cut -d' ' -f1 /proc/modules | sed 's/^/module /'; readlink /sys/block/xvd?/device/driver
    readlink /sys/class/net/eth0/device/driver; ping -c 3 -i 0.3 -W 5 {guest.host.address}; dmesg | grep rxenbus"""
    out = guest.run(script).check().out
    assert re.search(r"^/dev/xvda / ext4 rw", out, re.M), out
    assert not re.search(r"^module rxen", out, re.M), out
    assert re.findall(r"drivers/(\S+)", out) == ["rxen_blkfront"] * 3 + ["rxen_netfront"]
    assert "rxenbus: hosted mode: PVH guest" in out
    guest.save()
    guest.restore()
    guest.run(f"dd if=/dev/xvdb of=/dev/null bs=64k count=16 iflag=direct; ping -c 3 -i 0.3 -W 5 {guest.host.address}").check()


def test_kunit(farm):
    """The tests that need a kernel, run when our modules are loaded into the debug kernel."""
    guest = farm.get("full", "debug-native", disks=data_disks(), vifs=2)
    out = guest.run("grep -H . /sys/kernel/debug/kunit/rxen*/results").check().out
    assert set(re.findall(r"^\S+:ok \d+ (\w+)$", out, re.M)) >= {"rxen_grant", "rxen_evtchn", "rxen_store"}, out
    assert "not ok" not in out and "SKIP" not in out, out
