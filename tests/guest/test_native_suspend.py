# SPDX-License-Identifier: GPL-2.0
"""Suspends of a guest whose only Xen core is ours, under load: many, cancelled ones, migrations, faults in each phase."""

import re
import time

import pytest
from farm import data_disks, failed_hypercalls, interrupts, settled_grants, wait_connected, xenstore
from lab.kinds import NATIVE_KINDS
from loads import Load, NetworkLoad

pytestmark = pytest.mark.kinds(*NATIVE_KINDS)

# How often, in the everyday run and in the thorough one.
CYCLES = (3, 25)
CHECKPOINTS = (3, 10)
MIGRATIONS = (2, 10)


@pytest.fixture
def loaded(shared_guest, lab):
    """fio with verify on two disks, and a TCP connection to the first host."""
    guest = shared_guest(anywhere=True)
    guest.run("dmesg -C").check()
    load = Load(guest, lab.a)
    yield guest, load.disks, load.network
    load.stop()
    assert not guest.run("dmesg | grep -E 'I/O error|Buffer I/O|EXT4-fs (error|warning)'").out
    counts = settled_grants(guest)
    assert counts["leaked"] == counts["deferred"] == 0


@pytest.mark.everyday("noxen-native")
@pytest.mark.timeout(7200)
def test_many_restores(loaded, times):
    guest, disks, network = loaded
    begun = len(interrupts(guest))
    for cycle in range(times(*CYCLES)):
        guest.save()
        guest.restore()
        network.assert_alive()
        wait_connected(guest)
        assert len(interrupts(guest)) == begun, f"cycle {cycle}"
    disks.wait_progress(120)


@pytest.mark.timeout(3600)
def test_many_cancelled_suspends(loaded, times):
    """Nothing is rebuilt: the same ports, the same interrupts, and the counters go on."""
    guest, disks, network = loaded
    ports = "xenstore-ls device | grep -E 'event-channel|ring-ref'"
    # Each of the many requests takes a tenth of a second in a guest of this kind under load.
    before = guest.run(ports, timeout=300).check().out
    counts = interrupts(guest)
    for _ in range(times(*CHECKPOINTS)):
        guest.checkpoint()
        network.assert_alive()
    assert guest.run(ports, timeout=300).check().out == before
    after = interrupts(guest)
    assert set(after) == set(counts)
    assert all(after[name] >= counts[name] for name in counts), (counts, after)
    disks.wait_progress(120)


@pytest.mark.timeout(7200)
def test_many_live_migrations(loaded, lab, times):
    guest, disks, network = loaded
    for _ in range(times(*MIGRATIONS)):
        guest.migrate(lab.b if guest.host is lab.a else lab.a)
        network.assert_alive()
        disks.wait_progress(180)


@pytest.fixture
def many_processors(farm, kind):
    """Gives a guest with so many vCPUs."""
    return lambda vcpus: farm.get(f"vcpus{vcpus}", kind, vcpus=vcpus, disks=data_disks(), vifs=1, memory=320)


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("vcpus", [pytest.param(2, marks=pytest.mark.thorough), pytest.param(4, marks=pytest.mark.thorough), 8])
def test_suspend_with_many_processors(many_processors, lab, vcpus):
    """All of them run before and after, and each still has its timers."""
    guest = many_processors(vcpus)
    tick = "set -e; for c in $(seq 0 $(($(nproc) - 1))); do taskset -c $c sleep 0.1; done; nproc"
    assert guest.run(tick, timeout=120).check().out.split()[-1] == str(vcpus)
    network = NetworkLoad(guest, lab.a, rate=20_000)
    guest.checkpoint()
    assert guest.run(tick, timeout=120).check().out.split()[-1] == str(vcpus)
    guest.save()
    guest.restore()
    assert guest.run(tick, timeout=120).check().out.split()[-1] == str(vcpus)
    network.stop()


def test_time_goes_on_after_a_restore(shared_guest, lab):
    """Wall clock and uptime: the one does not stand still while the guest is saved, the other does."""
    guest = shared_guest(anywhere=True)
    # Without another program, which may have to come from a disk that is not back yet.
    clocks = "read -r uptime _ </proc/uptime; echo $EPOCHREALTIME $uptime"
    before = guest.run(clocks).check().out.split()
    guest.save()
    time.sleep(20)
    guest.restore()
    after = guest.run(clocks).check().out.split()
    wall, uptime = (float(b) - float(a) for a, b in zip(before, after, strict=True))
    assert wall >= 15, (wall, uptime)
    assert 0 < uptime <= wall + 1, (wall, uptime)
    # It sleeps as long as it says.
    slept = guest.run("a=$(cut -d' ' -f1 /proc/uptime); sleep 3; b=$(cut -d' ' -f1 /proc/uptime); echo $a $b").check().out.split()
    assert 2.9 <= float(slept[1]) - float(slept[0]) < 10, slept


# Phases of a suspend, as in suspend/phases.rs. A fault in one of the first has the suspend given up; one of the others is
# tried again.
WAY_IN = ["park", "settle", "stop", "timekeeping", "save", "hypercall"]
AFTER_EACH = ["clock", "start", "xenstore", "devices"]
AFTER_RESTORE = ["platform", "grants", "events"]
ENDS = ["restored", "cancelled", "failed"]
DEBUGFS = "/sys/kernel/debug/rxen_suspend"


def phases(guest) -> dict:
    """How many suspends ended in which way, and the attempts and failures of each phase."""
    out = guest.run(f"cat {DEBUGFS}/phases").check().out
    ends = {name: int(count) for name, count in re.findall(r"^(restored|cancelled|failed) (\d+)$", out, re.M)}
    tried = {name: (int(a), int(f)) for name, a, f in re.findall(r"^(\w+) attempts (\d+) failures (\d+) ", out, re.M)}
    assert set(tried) == {*WAY_IN, *AFTER_EACH, *AFTER_RESTORE}, out
    return {**ends, **tried}


def inject(guest, phase: str) -> None:
    guest.run(f"echo {phase} >{DEBUGFS}/fail && grep -x {phase} {DEBUGFS}/fail").check()


def phases_after(guest, before: dict, end: str) -> dict:
    """Waits until one more suspend has come to its end in that way: the guest runs before its devices do."""
    for _ in range(120):
        after = phases(guest)
        if after[end] > before[end]:
            break
        time.sleep(0.5)
    assert {name: after[name] - before[name] for name in ENDS} == {name: int(name == end) for name in ENDS}, (before, after)
    return after


@pytest.mark.everyday("noxen-native")
def test_phases_are_traced(shared_guest):
    """The tracepoint has each phase of a suspend in its order, with its duration, and the fault of one. The start of the
    processors has two parts."""
    guest = shared_guest()
    trace = "/sys/kernel/tracing"
    guest.run(f"mount -t tracefs tracefs {trace} 2>/dev/null; echo >{trace}/trace; echo 1 >{trace}/events/rxen/rxen_suspend_phase/enable").check()
    inject(guest, "clock")
    before = phases(guest)
    guest.checkpoint()
    phases_after(guest, before, "cancelled")
    out = guest.run(f"echo 0 >{trace}/events/rxen/enable; cat {trace}/trace").check().out
    traced = re.findall(r"rxen_suspend_phase: phase=(\w+) ns=(\d+) failed=([01])", out)
    assert [(name, failed) for name, _, failed in traced] == [(name, "0") for name in WAY_IN] + [
        ("clock", "1"), ("clock", "0"), ("start", "0"), ("start", "0"), ("xenstore", "0"), ("devices", "0")
    ], out  # fmt: skip
    assert all(0 < int(nanoseconds) < 120e9 for _, nanoseconds, _ in traced), out


@pytest.mark.everyday("noxen-native")
@pytest.mark.timeout(2400)
def test_fault_on_the_way_in(loaded):
    """The guest goes on as if nobody had asked, whatever phase it was; and the next suspend works."""
    guest, disks, network = loaded
    for phase in WAY_IN:
        before = phases(guest)
        inject(guest, phase)
        # The toolstack has nothing to do with it, so that it need not run out of patience.
        xenstore(guest.host, guest, "control/shutdown", "suspend")
        after = phases_after(guest, before, "failed")
        assert after[phase][1] == before[phase][1] + 1
        assert xenstore(guest.host, guest, "control/shutdown") == ""
        assert not guest.run(f"cat {DEBUGFS}/fail").check().out
        network.assert_alive()
        disks.wait_progress(120)
    before = phases(guest)
    guest.checkpoint()
    phases_after(guest, before, "cancelled")


@pytest.mark.timeout(2400)
def test_fault_on_the_way_out_of_a_cancelled_suspend(loaded):
    guest, disks, network = loaded
    for phase in AFTER_EACH:
        before = phases(guest)
        inject(guest, phase)
        guest.checkpoint()
        after = phases_after(guest, before, "cancelled")
        assert after[phase][1] == before[phase][1] + 1
        network.assert_alive()
        disks.wait_progress(120)


@pytest.mark.timeout(3600)
def test_fault_on_the_way_out_of_a_restore(loaded):
    guest, disks, network = loaded
    for phase in AFTER_RESTORE + AFTER_EACH:
        before = phases(guest)
        inject(guest, phase)
        guest.save()
        guest.restore()
        after = phases_after(guest, before, "restored")
        assert after[phase][1] == before[phase][1] + 1
        network.assert_alive()
        disks.wait_progress(120)


# More hypercalls than a phase makes.
MANY_HYPERCALLS = 60
# Where the everyday run begins: the first ones of `grants` are about the version, and it can do without them.
FIRST_HYPERCALL = {"platform": 1, "grants": 3, "events": 1}


@pytest.mark.everyday("noxen-native")
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("phase", AFTER_RESTORE)
def test_hypercall_that_fails_in_a_restore(loaded, times, phase):
    """Each hypercall of the phase, one in each restore: the next attempt goes on where that one failed, or it can do
    without."""
    guest, disks, network = loaded

    def restore() -> int:
        """How many hypercalls have failed in it."""
        before, failed = phases(guest), sum(failed_hypercalls(guest).values())
        guest.save()
        guest.restore()
        phases_after(guest, before, "restored")
        network.assert_alive()
        disks.wait_progress(120)
        wait_connected(guest)
        return sum(failed_hypercalls(guest).values()) - failed

    usual = min(restore(), restore())
    failures = phases(guest)[phase][1]
    first = times(FIRST_HYPERCALL[phase], 1)
    struck = 0
    for number in range(first, first + times(2, MANY_HYPERCALLS)):
        inject(guest, f"{phase}/{number}")
        if restore() == usual:
            # It makes fewer.
            break
        struck += 1
    assert 0 < struck < MANY_HYPERCALLS
    assert phases(guest)[phase][1] > failures
    assert "failed after the suspend" not in guest.dmesg()


def test_suspend_hypercall_that_fails(loaded):
    """As if nobody had asked."""
    guest, disks, network = loaded
    before = phases(guest)
    inject(guest, "hypercall/1")
    xenstore(guest.host, guest, "control/shutdown", "suspend")
    phases_after(guest, before, "failed")
    network.assert_alive()
    disks.wait_progress(120)
    guest.checkpoint()


def test_failed_save(shared_guest, lab):
    """A save for which there is no room: the toolstack gives up after the guest has suspended."""
    guest = shared_guest()
    network = NetworkLoad(guest, lab.a, rate=20_000)
    guest.host.run("mkdir -p /tmp/small && mount -t tmpfs -o size=16m small /tmp/small").check()
    try:
        before = phases(guest)
        assert guest.xl(f"save {guest.name} /tmp/small/image").rc != 0
        phases_after(guest, before, "cancelled")
        network.stop()
    finally:
        guest.host.run("umount /tmp/small")
