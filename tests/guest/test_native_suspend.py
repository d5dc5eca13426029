# SPDX-License-Identifier: GPL-2.0
"""What rxen_suspend does in guests whose only Xen core is ours: requests of the toolstack, many suspends, faults in each
phase of one."""

import re
import time

import pytest
from farm import grants
from loads import DiskLoad, NetworkLoad

pytestmark = pytest.mark.kinds("hvm-native", "noxen-native", "debug-native")

CYCLES = 25
CHECKPOINTS = 10
DEBUGFS = "/sys/kernel/debug/rxen_suspend"
WAY_IN = ["park", "settle", "stop", "timekeeping", "save", "hypercall"]
WAY_OUT = ["platform", "grants", "events", "clock", "start", "xenstore", "devices"]


def counts(guest) -> dict[str, int]:
    """How many suspends there were, by their end."""
    out = guest.run(f"cat {DEBUGFS}/phases").check().out
    return {name: int(value) for name, value in re.findall(r"^(restored|cancelled|failed) (\d+)$", out, re.M)}


def attempts(guest, phase: str) -> tuple[int, int]:
    """How often a phase was tried, and how often it failed."""
    out = guest.run(f"cat {DEBUGFS}/phases").check().out
    return tuple(map(int, re.search(rf"^{phase} attempts (\d+) failures (\d+) ", out, re.M).groups()))


def wait_counts(guest, **wanted: int) -> None:
    """Waits until so many suspends have ended so."""
    for _ in range(60):
        now = counts(guest)
        if all(now[name] == value for name, value in wanted.items()):
            return
        time.sleep(1)
    pytest.fail(f"suspends: {now}, expected {wanted}")


def fail_once(guest, phases: str) -> None:
    guest.run(f"echo {phases} >{DEBUGFS}/fail").check()
    assert guest.run(f"cat {DEBUGFS}/fail").check().out.split() == phases.split()


@pytest.fixture
def guest(shared_guest):
    """On either host."""
    return shared_guest(anywhere=True)


@pytest.fixture
def load(guest):
    """fio on two disks and a TCP connection; at the end both must have been without error."""
    disks = DiskLoad(guest, ["xvdb", "xvdc"])
    network = NetworkLoad(guest, guest.host)
    disks.wait_progress()
    yield disks
    network.assert_alive()
    disks.wait_progress(120)
    disks.stop()
    network.stop()
    assert grants(guest)["leaked"] == 0


def test_announced(guest):
    """The toolstack can see what the guest can."""
    out = guest.host.run(f"xenstore-ls /local/domain/$(xl domid {guest.name})/control").check().out
    for feature in ("poweroff", "reboot", "suspend"):
        assert f'feature-{feature} = "1"' in out, out


def test_unknown_requests_are_left_alone(guest):
    node = f"/local/domain/$(xl domid {guest.name})/control"
    guest.host.run(f"xenstore-write {node}/shutdown dance; xenstore-write {node}/sysrq ab").check()
    time.sleep(2)
    assert guest.host.run(f"xenstore-read {node}/shutdown {node}/sysrq").check().out.split() == ["dance", "ab"]
    guest.host.run(f"xenstore-write {node}/shutdown ''; xenstore-write {node}/sysrq ''").check()
    log = guest.dmesg()
    assert "shutdown: not understood: dance" in log and "sysrq: not understood: ab" in log


def test_sysrq(guest):
    guest.run("dmesg -C; echo 1 >/proc/sys/kernel/sysrq").check()
    guest.xl(f"sysrq {guest.name} h").check()
    for _ in range(20):
        if "sysrq: HELP" in guest.dmesg():
            break
        time.sleep(0.5)
    assert "sysrq: HELP" in guest.dmesg()
    node = f"/local/domain/$(xl domid {guest.name})/control/sysrq"
    assert guest.host.run(f"xenstore-read {node}").check().out.strip() == ""


@pytest.mark.timeout(3000)
def test_many_restores(guest, load):
    before = counts(guest)
    for _ in range(CYCLES):
        guest.save()
        guest.restore()
    wait_counts(guest, restored=before["restored"] + CYCLES, failed=before["failed"])


@pytest.mark.timeout(1800)
def test_many_checkpoints(guest, load):
    before = counts(guest)
    for _ in range(CHECKPOINTS):
        guest.checkpoint()
    wait_counts(guest, cancelled=before["cancelled"] + CHECKPOINTS, failed=before["failed"])


@pytest.mark.parametrize("phase", WAY_IN)
def test_fault_before_the_suspend(guest, load, farm, phase):
    """All is undone, and the guest goes on; the next suspend succeeds."""
    farm.expect(r"rxen_suspend: not suspended")
    before = counts(guest)
    failures = attempts(guest, phase)[1]
    fail_once(guest, phase)
    # As `xl save` asks for it, without its minute of waiting for a guest that does not suspend.
    node = f"/local/domain/$(xl domid {guest.name})/control/shutdown"
    guest.host.run(f"xenstore-write {node} suspend").check()
    wait_counts(guest, failed=before["failed"] + 1, cancelled=before["cancelled"])
    assert attempts(guest, phase)[1] == failures + 1
    assert f"phase {phase} failed" in guest.dmesg()
    load.wait_progress(120)
    guest.checkpoint()
    wait_counts(guest, cancelled=before["cancelled"] + 1)


@pytest.mark.parametrize("phase", WAY_OUT)
def test_fault_after_the_suspend(guest, load, farm, phase):
    """The phase is tried again, and nothing is lost."""
    before = counts(guest)
    tries, failures = attempts(guest, phase)
    fail_once(guest, phase)
    guest.save()
    guest.restore()
    wait_counts(guest, restored=before["restored"] + 1, failed=before["failed"])
    assert attempts(guest, phase)[1] == failures + 1 and attempts(guest, phase)[0] >= tries + 2


@pytest.mark.parametrize("vcpus", [1, 2, 4, 8])
@pytest.mark.timeout(1800)
def test_all_processors_go_on(farm, kind, vcpus):
    """Each processor's timer still works after a restore."""
    guest = farm.get(f"smp{vcpus}", kind, root="ram", memory=512, vcpus=vcpus, vifs=0)
    tick = f"for c in $(seq 0 {vcpus - 1}); do taskset -c $c timeout 20 sleep 0.5 || echo CPU $c; done"
    assert guest.run(tick, 200).check().out == ""
    for _ in range(3):
        guest.save()
        guest.restore()
        assert guest.run(tick, 200).check().out == ""
        guest.checkpoint()
        assert guest.run(tick, 200).check().out == ""
    wait_counts(guest, restored=3, cancelled=3, failed=0)


@pytest.mark.parametrize("request_name", ["shutdown", "reboot"])
def test_shutdown_and_reboot(farm, kind, request_name):
    """The guest goes down by itself. on_reboot is destroy."""
    guest = farm.get(f"down-{request_name}", kind, vifs=1)
    guest.xl(f"{request_name} {guest.name}").check()
    for _ in range(180):
        if not guest.exists():
            break
        time.sleep(0.5)
    assert not guest.exists(), guest.console()[-2000:]
    farm.end_all()
