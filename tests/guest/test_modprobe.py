# SPDX-License-Identifier: GPL-2.0
"""What modprobe loads for a card in a guest where both frontends are installed as `make install` does it."""

import os
import subprocess

import pytest
from lab.images import MODULES
from lab.pair import CLONE

PREPARE = """set -e
rmmod xen_netfront
kernel=/lib/modules/$(uname -r)
mkdir -p $kernel/updates/rxen $kernel/kernel /etc/modprobe.d
cp /run/modules/rx*.ko $kernel/updates/rxen/
cp /run/modules/xen-*front.ko $kernel/kernel/
mv /run/rxen.conf /etc/modprobe.d/
depmod 2>/dev/null
"""
LOADED = "cut -d' ' -f1 /proc/modules"


@pytest.fixture
def both(farm, tmp_path):
    """A guest with a card that no driver has, and both frontends' modules and our modprobe.d file in place."""
    guest = farm.get("modprobe", "pvh", frontends="c", vifs=0)
    installer = [CLONE / "scripts" / "install-modules", MODULES]
    subprocess.run(installer, env=os.environ | {"DESTDIR": str(tmp_path)}, check=True, capture_output=True, timeout=120)
    guest.put("/run/rxen.conf", (tmp_path / "etc/modprobe.d/rxen.conf").read_bytes())
    guest.run(PREPARE).check()
    guest.attach_vif(0)
    return guest


def driver_of_card(guest):
    return guest.run("basename $(readlink -f /sys/bus/xen/devices/vif-0/driver)").check().out.strip()


def test_modprobe_prefers_ours(both):
    both.run("modprobe xen:vif", timeout=120).check()
    assert driver_of_card(both) == "rxen_netfront"
    # The C frontend's own name leads to ours too.
    both.run("modprobe xen_netfront", timeout=120).check()
    loaded = both.run(LOADED).check().out.split()
    assert "rxen_netfront" in loaded
    assert "xen_netfront" not in loaded
    # A kernel without our modules boots as before.
    both.run("rmmod rxen_netfront && rm -r /lib/modules/$(uname -r)/updates && depmod 2>/dev/null").check()
    both.run("modprobe xen:vif", timeout=120).check()
    assert "xen_netfront" in both.run(LOADED).check().out.split()
    assert driver_of_card(both) == "vif"
