# SPDX-License-Identifier: GPL-2.0
"""Save, checkpoint, restore and migration while disks and network are in use: no I/O error, no wrong byte, the TCP
connection lives."""

import re

import pytest
from lab.kinds import HOSTED
from loads import DiskLoad, NetworkLoad

ERRORS = r"I/O error|Buffer I/O|EXT4-fs (error|warning)|lost (async )?page write"


class Loaded:
    """A guest with fio on two disks, files on the third, and a TCP connection to each host."""

    def __init__(self, guest, lab):
        self.guest = guest
        guest.run("dmesg -C").check()
        self.disks = DiskLoad(guest, ["xvdb", "xvdc"])
        self.network = NetworkLoad(guest, lab.a)
        self.disks.wait_progress()

    def check(self) -> None:
        """All that ran still runs, and nothing was lost."""
        self.network.assert_alive()
        self.disks.wait_progress()
        for disk, job in self.disks.stop().items():
            longest = job["write"]["clat_ns"]["max"] / 1e9
            print(f"{disk}: {job['write']['io_bytes'] >> 10} KiB written and verified, longest write {longest:.1f} s")
        report = self.network.stop()
        print(f"TCP: {report['bytes'] >> 10} KiB each way, longest gap {report['longest_gap']:.1f} s")
        assert not self.guest.run(f"dmesg | grep -E '{ERRORS}'").out


@pytest.fixture
def guest(shared_guest):
    """On either host."""
    return shared_guest(anywhere=True)


@pytest.fixture
def loaded(guest, lab):
    return Loaded(guest, lab)


@pytest.fixture
def announcements(lab):
    """What the first host sees of gratuitous ARP and unsolicited neighbour advertisements."""
    lab.a.run(
        "rm -f /tmp/announced; timeout 300 tcpdump -l -n -e -i xenbr0 '(arp and arp[24:4] == arp[14:4]) or (icmp6 and ip6[40] == 136)'"
        " >/tmp/announced 2>&1 </dev/null & for n in $(seq 50); do grep -q listening /tmp/announced && exit 0; sleep 0.2; done; exit 1"
    ).check()
    yield lambda: lab.a.run("cat /tmp/announced").out
    lab.a.run("pkill tcpdump; true")


@pytest.mark.each_kind
def test_save_and_restore(loaded, announcements):
    loaded.guest.save()
    assert not loaded.guest.exists()
    loaded.guest.restore()
    loaded.check()
    announced = announcements()
    assert re.search(rf"{loaded.guest.mac(0)} > .*ARP", announced), announced
    assert re.search(rf"{loaded.guest.mac(1)} > .*ARP", announced), announced
    assert re.search(rf"{loaded.guest.mac(0)} > .*neighbor advertisement", announced), announced


def test_checkpoint(loaded):
    """The guest's suspend is cancelled: it goes on with the rings it has."""
    loaded.guest.checkpoint()
    loaded.guest.checkpoint()
    loaded.check()


@pytest.fixture
def live(kind, stock_hypervisor):
    """Whether this type of guest can migrate live here."""
    if kind == "pv" and stock_hypervisor:
        pytest.skip("live migration of PV guests needs shadow paging, which the stock hypervisor does not have")


def test_live_migration_on_one_host(live, loaded):
    loaded.guest.migrate_local()
    loaded.check()


@pytest.mark.kinds("pv")
def test_save_copy_and_restore_on_the_other_host(loaded, lab):
    """How PV guests get to another host where the hypervisor has no shadow paging; not live."""
    loaded.guest.move(other(lab, loaded.guest))
    loaded.check()


def test_live_migration_to_the_other_host(live, loaded, lab, announcements):
    loaded.guest.migrate(other(lab, loaded.guest))
    loaded.check()
    announced = announcements()
    assert re.search(rf"{loaded.guest.mac(0)} > .*ARP", announced), announced


def other(lab, guest):
    """The host where the guest is not."""
    return lab.b if guest.host is lab.a else lab.a


@pytest.mark.kinds(*HOSTED)
def test_suspends_are_left_to_the_kernel(guest):
    """Where its own Xen core handles them."""
    out = guest.run("dmesg -C; insmod /run/modules/rxen_suspend.ko && echo loaded; dmesg").check().out
    assert "loaded" not in out.replace("not loaded", "")
    assert "Device or resource busy" in out
    assert "rxen_suspend: not loaded: the kernel's own Xen core handles suspends and shutdowns in this guest" in out
