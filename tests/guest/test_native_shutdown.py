# SPDX-License-Identifier: GPL-2.0
"""What the toolstack asks of a guest whose only Xen core is ours, other than to suspend."""

import time

import pytest
from farm import xenstore
from lab.kinds import NATIVE_KINDS

pytestmark = pytest.mark.kinds(*NATIVE_KINDS)


@pytest.mark.each_kind
def test_announced(guest):
    """The toolstack can see what the guest can."""
    for feature in ("poweroff", "reboot", "suspend"):
        assert xenstore(guest.host, guest, f"control/feature-{feature}") == "1"


@pytest.mark.each_kind
def test_unknown_requests_are_left_alone(guest):
    for node, value in (("shutdown", "dance"), ("sysrq", "ab")):
        xenstore(guest.host, guest, f"control/{node}", value)
        for _ in range(40):
            if f"{node}: not understood: {value}" in guest.dmesg():
                break
            time.sleep(0.5)
        assert f"{node}: not understood: {value}" in guest.dmesg()
        assert xenstore(guest.host, guest, f"control/{node}") == value
        xenstore(guest.host, guest, f"control/{node}", "")


ENDED = ["on_poweroff", "on_reboot"]
REASONS = {"poweroff": "0", "reboot": "1", "halt": "0"}


@pytest.fixture
def mortal(farm, kind):
    """A guest whose end can be looked at."""
    settings = {name: '"preserve"' for name in ENDED}
    return farm.get("mortal", kind, settings=settings, vifs=1)


@pytest.mark.parametrize("verb", REASONS)
def test_shutdown_from_outside(mortal, farm, verb):
    """The request is acknowledged first, the file systems are written, and Xen learns the reason."""
    host = mortal.host
    mortal.run("echo something >/srv/left; sync").check()
    commands = {"poweroff": f"xl shutdown {mortal.name}", "reboot": f"xl reboot {mortal.name}"}
    default = f"xenstore-write /local/domain/$(xl domid {mortal.name})/control/shutdown {verb}"
    domid = host.run(f"xl domid {mortal.name}").check().out.strip()
    host.run(commands.get(verb, default)).check()
    for _ in range(240):
        state = host.run(f"xl list -v | awk '$2 == {domid} {{ print $5, $8 }}'").check().out.split()
        # `s`: shut down.
        if "s" in state[0]:
            break
        time.sleep(0.5)
    assert "s" in state[0] and state[1] == REASONS[verb], state
    assert host.run(f"xenstore-read /local/domain/{domid}/control/shutdown").out.strip() == ""
    farm.end_all()


def test_sysrq_from_outside(guest, farm):
    guest.run("echo 1 >/proc/sys/kernel/sysrq; dmesg -C").check()
    guest.xl(f"sysrq {guest.name} s").check()
    for _ in range(40):
        if "Emergency Sync" in guest.dmesg():
            break
        time.sleep(0.5)
    assert "Emergency Sync" in guest.dmesg()
    assert xenstore(guest.host, guest, "control/sysrq") == ""
