# SPDX-License-Identifier: GPL-2.0
"""No grant references or event channels left, at every place where one is allocated: a fault of debugfs strikes there.

A device either says so (a line in the log that names it, and its `error` node) or gets along, nothing is left behind
when it goes, and it works the next time.
"""

import re
import time
from dataclasses import dataclass

import pytest
from farm import settled_grants
from lab.guest import Disk, Guest
from lab.pair import DATA
from loads import NetworkLoad

DEBUGFS = "/sys/kernel/debug/rxenbus"
# The third card of the guest; the other two are there from the start.
CARD = 2
# More allocations than a device of either type makes before it is in operation.
MOST = 12
# Which of the pages that are lent, in the everyday run and in the thorough one: a ring and pages for segments of a disk,
# two rings and receive pages of a card, and some that are lent in operation.
GRANTS = {"disk": ([1, 2, 33, 34, 36], list(range(1, 38))), "card": ([1, 2, 3, 4, 258], [*range(1, 12), 100, 257, 258, 259])}


@dataclass
class Device:
    """What is attached: its path in the guest's xenstore, and a command of the guest that succeeds once it works."""

    guest: Guest
    kind: str
    path: str
    works: str
    attach_command: str
    detach_command: str

    def attach(self) -> None:
        # The toolstack may find that the device has failed already, and take it away again.
        self.guest.xl(self.attach_command, timeout=120)

    def detach(self) -> None:
        """Takes the device away and waits until the guest has no trace of it."""
        self.guest.xl(self.detach_command, timeout=120)
        folder = "/sys/bus/xen/devices/" + self.path.removeprefix("device/").replace("/", "-")
        script = f"""for t in $(seq 300); do
            [ -e {folder} ] || xenstore-read {self.path}/state 2>/dev/null || exit 0
            sleep 0.1
        done
        ls {folder}; xenstore-ls {self.path}; exit 1"""
        self.guest.run(script, timeout=90).check()

    def outcome(self) -> str:
        """Waits for it to work or to report an error; what the error node says, or "works"."""
        script = f"""for t in $(seq 100); do
            xenstore-read error/{self.path}/error 2>/dev/null && exit 0
            {{ {self.works}; }} >/dev/null 2>&1 && echo works && exit 0
            sleep 0.3
        done
        echo nothing; xenstore-ls {self.path}; dmesg | tail -n 20; exit 1"""
        return self.guest.run(script, timeout=400).check().out.strip()


@pytest.fixture(params=["disk", "card"])
def device(request, guest):
    """The device, of each type; taken away at the end, whatever has become of it."""
    if request.param == "disk":
        disk = Disk(f"/dev/{DATA[2]}", "xvdd")
        works = "[ -b /dev/xvdd ] && dd if=/dev/xvdd of=/dev/null bs=64k count=4 iflag=direct"
        attach = f"block-attach {guest.name} '{disk.spec()}'"
        made = Device(guest, "disk", "device/vbd/51760", works, attach, f"block-detach {guest.name} xvdd")
    else:
        NetworkLoad.ensure_server(guest.host)
        peer = f"10.9.{CARD}.{guest.host.address.rsplit('.', 1)[1]}"
        name = f"eth{CARD}"
        works = (
            f"[ -e /sys/class/net/{name} ] && ip link set {name} up && ip addr replace {guest.address(CARD)}/24 dev {name}"
            f" && ping -c 1 -W 2 -I {name} {peer}"
        )
        attach = f"network-attach {guest.name} {guest.vif_spec(CARD, ' ')}"
        made = Device(guest, "card", f"device/vif/{CARD}", works, attach, f"network-detach {guest.name} {guest.mac(CARD)}")
    yield made
    for knob in ("fail_grant_reserve", "fail_grant", "fail_channel"):
        guest.run(f"echo 0 >{DEBUGFS}/{knob}")
    guest.xl(made.detach_command, timeout=120)


def held(guest: Guest) -> dict[str, int]:
    """What is held for long: references in reserves where the table is ours, and what could not be given back."""
    out = guest.run(f"cat {DEBUGFS}/grants").check().out
    return {name: int(value) for name, value in re.findall(r"^(deferred|leaked|allocated|aside|inherited) (\d+)$", out, re.M)}


def assert_nothing_left(device: Device, before: dict[str, int]) -> None:
    """The counters are as they were, and the device has no account any more."""
    for _ in range(40):
        settled_grants(device.guest)
        account = device.guest.run(f"grep '^{device.path} ' {DEBUGFS}/grants").out
        now = held(device.guest)
        if now == before and not account:
            return
        time.sleep(0.5)
    pytest.fail(f"left behind: {before} -> {now}\n{account}")


def strike(device: Device, knob: str, number: int) -> bool:
    """Attaches the device with a fault and takes it away again; whether the fault has struck."""
    guest = device.guest
    guest.run(f"dmesg -C; xenstore-rm error/{device.path} 2>/dev/null; echo '{number} {device.path}' >{DEBUGFS}/{knob}").check()
    device.attach()
    outcome = device.outcome()
    struck = guest.run(f"cat {DEBUGFS}/{knob}").check().out.strip() == "0"
    guest.run(f"echo 0 >{DEBUGFS}/{knob}").check()
    log = guest.dmesg()
    if outcome != "works":
        assert struck, f"{knob} {number}: failed without the fault: {outcome}\n{log}"
        assert "cannot connect to the backend" in outcome and "used up" in outcome, outcome
        named = re.findall(rf"{device.path}: (?:the grant table has no|cannot lend a page|no event channel).*", log)
        assert len(named) == 1, f"{knob} {number}: {outcome}\n{log}"
    device.detach()
    return struck


@pytest.mark.thorough
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("knob", ["fail_grant_reserve", "fail_channel"])
def test_each_allocation_fails(device, knob):
    before = held(device.guest)
    struck = 0
    while strike(device, knob, struck + 1):
        struck += 1
        assert struck < MOST
        assert_nothing_left(device, before)
    # A disk has a ring and its data, a card two rings and two directions; each has a channel.
    assert struck >= (1 if knob == "fail_channel" else 2)
    assert_nothing_left(device, before)


@pytest.mark.thorough
@pytest.mark.timeout(6000)
def test_each_page_fails_to_be_lent(device, times):
    before = held(device.guest)
    numbers = times(*GRANTS[device.kind])
    struck = [number for number in numbers if strike(device, "fail_grant", number)]
    # The rings.
    assert 1 in struck, struck
    assert_nothing_left(device, before)
    device.guest.run(f"xenstore-rm error/{device.path} 2>/dev/null; true").check()
    device.attach()
    assert device.outcome() == "works"
    device.detach()
    assert_nothing_left(device, before)


@pytest.mark.timeout(600)
def test_a_device_connects_anew_when_there_are_references(device):
    """Without anybody doing something about it: there were none only once."""
    guest = device.guest
    before = held(guest)
    guest.run(f"dmesg -C; xenstore-rm error/{device.path} 2>/dev/null; echo '1 {device.path}' >{DEBUGFS}/fail_grant_reserve").check()
    device.attach()
    assert "used up" in device.outcome()
    guest.run(f"for t in $(seq 200); do {{ {device.works}; }} >/dev/null 2>&1 && exit 0; sleep 0.3; done; exit 1", timeout=300).check()
    assert "connecting anew" in guest.dmesg()
    device.detach()
    assert_nothing_left(device, before)
