# SPDX-License-Identifier: GPL-2.0
"""What only a guest without a C Xen core has: our bus and our interrupts, many devices, and life without our modules."""

import re

import pytest
from farm import LOAD_MODULES, UNLOAD_MODULES, data_disks, interrupts, settled_grants, wait_connected
from lab.guest import Disk
from lab.kinds import NATIVE_KINDS
from lab.pair import DATA
from loads import DiskLoad, Load, NetworkLoad

pytestmark = pytest.mark.kinds(*NATIVE_KINDS)


@pytest.mark.each_kind
def test_only_our_core(guest):
    """No part of the kernel's own is at work: neither its drivers nor what it shows of the hypervisor."""
    out = guest.run("ls /sys/hypervisor 2>/dev/null; cut -d' ' -f1 /proc/modules; ls /sys/bus/xen/drivers").check().out
    words = set(out.split())
    assert {"rxenbus", "rxen_suspend", "rxen_blkfront", "rxen_netfront"} <= words, out
    assert not {"xen_blkfront", "xen_netfront", "type", "vbd", "vif"} & words, out


@pytest.mark.each_kind
def test_devices_in_sysfs(guest):
    """As the C bus has them, so that udev loads the frontends."""
    script = """for d in /sys/bus/xen/devices/*; do
        echo "$(basename $d): $(cat $d/nodename $d/devtype $d/modalias $d/state | tr '\\n' ' ')$(grep MODALIAS $d/uevent)"
    done"""
    lines = guest.run(script).check().out.splitlines()
    assert "vbd-51712: device/vbd/51712 vbd xen:vbd Connected MODALIAS=xen:vbd" in lines
    assert "vif-0: device/vif/0 vif xen:vif Connected MODALIAS=xen:vif" in lines


@pytest.mark.each_kind
def test_ports_are_interrupts(guest):
    before = interrupts(guest)
    assert {"vbd-51712-ring", "vbd-51728-ring", "vbd-51744-ring"} <= set(before), before
    assert len([name for name in before if name.startswith("vif-0-")]) >= 1, before
    guest.run(f"dd if=/dev/xvdb of=/dev/null bs=64k count=40 iflag=direct; ping -c 3 -i 0.3 {guest.host.address}", timeout=60).check()
    after = interrupts(guest)
    assert after["vbd-51728-ring"] > before["vbd-51728-ring"]
    assert sum(after[name] - before[name] for name in before if name.startswith("vif-0-")) > 0


def test_events_reach_each_processor(guest):
    """Ours to ourselves and those of the hypervisor's timer; those that nobody has a use for are slowed down."""
    out = guest.run("cat /sys/kernel/debug/rxenbus/evtchn_loopback", timeout=120).check().out
    processors = re.findall(r"^cpu (\d+) events 500 nanoseconds \d+$", out, re.M)
    assert len(processors) == guest.vcpus, out
    assert re.findall(r"^timer (\d+) arrived$", out, re.M) == processors, out
    sent, handled = (int(count) for count in re.search(r"^worthless (\d+) handled (\d+)$", out, re.M).groups())
    assert 0 < handled < sent, out


DISKS, CARDS = 8, 4


@pytest.mark.timeout(2400)
def test_8_disks_and_4_cards(farm, kind, lab):
    """All work at once, also after a restore."""
    extra = " ".join(f"/srv/many{n}.img" for n in range(DISKS))
    lab.a.run(f"for f in {extra}; do rm -f $f; truncate -s 16M $f; done").check()
    disks = [Disk(f"/srv/many{n}.img", f"xvd{chr(ord('b') + n)}", backend="qemu" if n % 2 else "blkback") for n in range(DISKS - 1)]
    try:
        guest = farm.get("many", kind, disks=disks[:2], vifs=CARDS)
        # One after the other: at once, dom0's scripts hit their time limit on a busy machine.
        for disk in disks[2:]:
            guest.attach_disk(disk)
        names = [disk.name for disk in disks]
        guest.run(f"for n in $(seq 300); do [ $(ls -d /sys/block/xvd* | wc -l) = {DISKS} ] && exit 0; sleep 0.1; done; exit 1", 120).check()
        for restored in (False, True):
            if restored:
                guest.save()
                guest.restore()
            load = DiskLoad(guest, names, region="8m", rate="60k")
            cards = [NetworkLoad(guest, lab.a, card=card, rate=10_000) for card in range(CARDS)]
            load.wait_progress(240, sectors=100)
            load.stop(240)
            for card in cards:
                assert card.stop()["bytes"] > 10_000
        counts = settled_grants(guest)
        assert counts["leaked"] == counts["deferred"] == 0
    finally:
        farm.end_all()
        lab.a.run(f"rm -f {extra}")


@pytest.mark.thorough
def test_grant_table_of_version_2(farm, kind, lab):
    """Entries and their status in separate frames; also after a restore."""
    guest = farm.get("grants2", kind, cmdline="rxenbus.grant_version=2", disks=data_disks(), vifs=1)
    load = Load(guest, lab.a)
    for suspend in (guest.checkpoint, lambda: (guest.save(), guest.restore())):
        suspend()
        assert "version 2" in guest.run("cat /sys/kernel/debug/rxenbus/grants").check().out
        load.go_on()
    load.stop()
    counts = settled_grants(guest)
    assert counts["leaked"] == counts["deferred"] == 0


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_host_that_allows_fewer_grants(farm, kind):
    """The log names the limit, the guest goes on with what it has, and another host brings all devices back."""
    # Not with its root on a disk: that may be what does not connect.
    guest = farm.get("fewer", kind, root="ram", memory=512, disks=data_disks(), vifs=2)
    states = "cat /sys/bus/xen/devices/v[bi][df]-*/state"

    def table() -> dict[str, str]:
        return dict(re.findall(r"^(\w+) (.*)$", guest.run("cat /sys/kernel/debug/rxenbus/grants").check().out, re.M))

    frames, most = table()["frames"].split(" of ")
    assert int(frames) > 1
    guest.run("dmesg -c >/dev/null").check()
    for limit, expected in (("1", "1 of 1"), (most, f"{frames} of {most}")):
        guest.save()
        guest.settings["max_grant_frames"] = limit
        guest.restore(config=guest.write_config())
        assert table()["frames"] == expected
        if limit == "1":
            assert f"the grant table has 1 frames here, not {frames}" in guest.dmesg()
            assert "raise gnttab_max_frames" in guest.dmesg()
            assert int(table()["aside"]) > 0
            assert set(guest.run(states).check().out.split()) != {"Connected"}
    wait_connected(guest)
    reads = "; ".join(f"dd if=/dev/{disk.name} of=/dev/null bs=64k count=40 iflag=direct" for disk in guest.disks)
    guest.run(f"set -e; {reads}; ping -c 3 -W 5 {guest.host.address}", timeout=120).check()
    assert table()["aside"] == "0"
    counts = settled_grants(guest)
    assert counts["leaked"] == counts["deferred"] == 0


# rxen_netfront refuses while the emulated card is in use.
LOAD = "for m in $(cat /run/lab/frontends); do insmod /run/modules/$m.ko || [ $m = rxen_netfront ]; done"
UNLOAD = "for m in $(tac /run/lab/frontends); do if grep -q \"^$m \" /proc/modules; then rmmod $m; fi; done"
EMULATED = "labmodules=ata_piix,sd_mod,e1000"


@pytest.fixture
def emulated(farm, kind):
    """A guest whose root is on an emulated disk, with an emulated card."""
    settings = {"vif": "['type=ioemu,model=e1000,mac=00:16:3e:00:00:fe,bridge=xenbr0']"}
    # e1000's boot ROM is not wanted; xvda is the first emulated disk too.
    return farm.get("emulated", kind, root="/dev/sda", cmdline=EMULATED, disks=[Disk("/dev/vdb", "xvda")], settings=settings)


@pytest.mark.timeout(1800)
def test_unloaded_guest_lives_on_emulated_devices(emulated, farm):
    """What is in use is not unplugged. Root and card work before, between and after, with files checked each time."""
    script = f"""set -e
    dmesg -C
    head -c 3000000 /dev/urandom >/srv/data; md5sum /srv/data >/srv/sum; sync
    check() {{ echo 3 >/proc/sys/vm/drop_caches; md5sum -c --quiet /srv/sum; ping -c 2 -i 0.3 -W 5 {emulated.host.address} >/dev/null; }}
    check
    for n in $(seq 5); do
        {UNLOAD}
        check
        [ ! -e /sys/bus/xen/devices ] || [ -z "$(ls /sys/bus/xen/devices)" ]
        {LOAD}
        check
        [ -d /sys/bus/xen/devices/vbd-51712 ]
        echo round $n
    done
    grep -E '^/dev/sda / ' /proc/mounts
    readlink -f /sys/class/net/eth0/device/driver"""
    out = emulated.run(script, timeout=900).check().out
    assert out.count("round ") == 5
    assert "/e1000" in out


@pytest.mark.timeout(600)
def test_unplugged_once_and_for_all(farm, kind, lab):
    """Emulated disks that nobody uses are gone once our modules are loaded, so that nothing is driven twice."""
    disks = [Disk(f"/dev/{DATA[0]}", "xvdb")]
    guest = farm.get("ram-unplug", kind, root="ram", memory=512, disks=disks, vifs=1)
    out = guest.run("modprobe ata_piix; modprobe sd_mod; sleep 3; ls /sys/block", timeout=60).check().out
    assert "xvdb" in out
    assert "sda" not in out and "sdb" not in out


@pytest.mark.timeout(600)
def test_disks_whose_driver_is_still_to_come(farm, kind):
    """The controller has its driver, the disks have none yet: they stay, and their twins are left alone."""
    disks = [Disk(f"/dev/{DATA[0]}", "xvdb"), Disk(f"/dev/{DATA[1]}", "xvdf")]
    guest = farm.get("ram-late", kind, root="ram", memory=512, disks=disks, cmdline="labmodules=ata_piix")
    found = "for n in $(seq 100); do [ -b /dev/xvdf ] && break; sleep 0.1; done; ls /sys/block"
    out = guest.run(f"{found}; modprobe sd_mod; for n in $(seq 100); do [ -b /dev/sda ] && break; sleep 0.1; done; ls /sys/block").check().out
    # Only what has no emulated twin is driven by ours.
    assert re.findall(r"^(?:xvd|sd)\w+$", out, re.M) == ["xvdf", "sda", "xvdf"], out
    log = guest.dmesg()
    assert "emulated disks stay, their paravirtual twins are left alone" in log, log
    assert "vbd-51728: left to the emulated device" in log, log


@pytest.mark.timeout(1200)
def test_all_modules_come_and_go_on_an_emulated_disk(farm, kind):
    """As above but with no emulated card, so that all four are loaded each time."""
    guest = farm.get(
        "emulated-disk", kind, root="/dev/sda", cmdline="labmodules=ata_piix,sd_mod", disks=[Disk("/dev/vdb", "xvda"), Disk(f"/dev/{DATA[0]}", "xvdf")]
    )  # fmt: skip
    script = f"""set -e
    head -c 3000000 /dev/urandom >/srv/data; md5sum /srv/data >/srv/sum; sync
    check() {{ echo 3 >/proc/sys/vm/drop_caches; md5sum -c --quiet /srv/sum; }}
    for n in $(seq 5); do
        {UNLOAD_MODULES}
        [ ! -e /dev/xvdf ]
        check
        {LOAD_MODULES}
        for t in $(seq 200); do [ -b /dev/xvdf ] && [ -e /sys/class/net/eth0 ] && break; sleep 0.1; done
        dd if=/dev/xvdf of=/dev/null bs=64k count=4 iflag=direct status=none
        check
        grep -c ^rxen /proc/modules | sed 's/^/modules /'
    done"""
    out = guest.run(script, timeout=600).check().out
    assert re.findall(r"modules (\d+)", out) == ["4"] * 5, out
