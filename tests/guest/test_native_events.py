# SPDX-License-Identifier: GPL-2.0
"""Events of a guest whose only Xen core is ours: each ABI and each way of the upcall, processors that come and go,
and where an event is handled."""

import re
import time

import pytest
from farm import data_disks
from lab.kinds import NATIVE_KINDS
from loads import Load

pytestmark = pytest.mark.kinds(*NATIVE_KINDS)

DEBUGFS = "/sys/kernel/debug/rxenbus"


@pytest.fixture
def made(farm, kind):
    """Gives a guest with two processors whose core was loaded with these parameters."""

    def make(**parameters):
        role = "-".join(["events", *(f"{name.split('_')[1]}{value}" for name, value in parameters.items())])
        cmdline = " ".join(f"rxenbus.{name}={value}" for name, value in parameters.items())
        return farm.get(role, kind, vcpus=2, disks=data_disks(), vifs=1, cmdline=cmdline)

    return make


def events(guest) -> tuple[dict[str, str], dict[int, dict[str, int]]]:
    """What debugfs says of event channels, and of each processor."""
    out = guest.run(f"cat {DEBUGFS}/evtchn").check().out
    facts = dict(re.findall(r"^((?!cpu )\w+) (.*)$", out, re.M))
    processors = {}
    for line in re.findall(r"^cpu .*$", out, re.M):
        fields = line.split()
        figures = {name: int(value) for name, value in zip(fields[::2], fields[1::2], strict=True)}
        processors[figures.pop("cpu")] = figures
    return facts, processors


def check_loopback(guest, processors: int) -> None:
    """Events to itself and timers reach each processor."""
    out = guest.run(f"cat {DEBUGFS}/evtchn_loopback", timeout=120).check().out
    assert len(re.findall(r"^cpu \d+ events 500", out, re.M)) == processors, out
    assert len(re.findall(r"^timer \d+ arrived$", out, re.M)) == processors, out


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("abi", "vectors"), [(1, 1), (1, 0), (2, 0)])
def test_each_abi_and_upcall(made, lab, abi, vectors):
    """Also after a cancelled suspend and after a restore. The best of both is what all other tests have."""
    guest = made(event_abi=abi, event_vectors=vectors)
    expected = {"abi": "fifo" if abi == 2 else "2-level", "upcall": "vector" if vectors else "platform device"}
    # By the platform device only the first processor is called.
    processors = 2 if vectors else 1
    load = Load(guest, lab.a)
    for suspend in (None, guest.checkpoint, lambda: (guest.save(), guest.restore())):
        if suspend:
            suspend()
            load.go_on()
        facts, cpus = events(guest)
        assert {name: facts[name] for name in expected} == expected
        assert facts["bad_queues"] == "0"
        assert sum(cpu["upcalls"] > 0 for cpu in cpus.values()) == processors, cpus
    load.stop()
    check_loopback(guest, processors)


@pytest.mark.everyday("noxen-native")
@pytest.mark.timeout(900)
def test_debug_key_is_answered(shared_guest, lab):
    """A virtual interrupt of the hypervisor arrives once each time, also after a restore, when its port is another one."""
    guest = shared_guest()
    guest.run("dmesg -C").check()

    def received() -> int:
        out = guest.run(f"cat {DEBUGFS}/evtchn").check().out
        channel = re.search(r"^channel \d+ irq \d+ cpu 0 sent 0 received (\d+) spurious 0 name debug$", out, re.M)
        assert channel, out
        return int(channel[1])

    for asked, suspend in enumerate((None, guest.checkpoint, lambda: (guest.save(), guest.restore())), 1):
        if suspend:
            suspend()
        before = received()
        lab.a.run("xl debug-keys q").check()
        deadline = time.monotonic() + 60
        while received() == before:
            assert time.monotonic() < deadline, guest.dmesg()
            time.sleep(1)
        assert received() == before + 1
        assert guest.dmesg().count("debug: CPU 0: virtual CPU 0") == asked


@pytest.fixture
def online(made):
    """Gives a guest with two processors, and switches the second one on or off."""
    guest = made()

    def switch(on: bool) -> None:
        guest.run(f"echo {int(on)} >/sys/devices/system/cpu/cpu1/online", timeout=120).check()

    yield guest, switch
    switch(True)


def ports_on(guest, cpu: int) -> int:
    _, cpus = events(guest)
    return cpus[cpu]["ports"] if cpu in cpus else 0


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_processor_goes_and_comes_back(online, lab):
    """Its ports go to another one; nothing is lost, also when a restore comes in between."""
    guest, switch = online
    load = Load(guest, lab.a)
    total = int(events(guest)[0]["channels"])
    for between in (None, lambda: (guest.save(), guest.restore())):
        switch(False)
        assert ports_on(guest, 0) == total
        load.go_on()
        if between:
            between()
            load.go_on()
            assert ports_on(guest, 0) == total
            check_loopback(guest, 1)
        switch(True)
        load.go_on()
        check_loopback(guest, 2)
    load.stop()


@pytest.mark.thorough
def test_affinity(made):
    """An interrupt goes where its affinity says."""
    guest = made()
    number = guest.run("sed -n 's/^ *\\([0-9]*\\):.* vbd-51728-ring$/\\1/p' /proc/interrupts").check().out.strip()
    for cpu in (1, 0, 1):
        counts = f"sed -n 's/^ *{number}: *\\([0-9]*\\) *\\([0-9]*\\) .*/\\1 \\2/p' /proc/interrupts"
        script = f"echo {cpu} >/proc/irq/{number}/smp_affinity_list; {counts}; dd if=/dev/xvdb of=/dev/null bs=64k count=40 iflag=direct 2>&1; {counts}"
        lines = re.findall(r"^(\d+) (\d+)$", guest.run(script).check().out, re.M)
        before, after = ([int(count) for count in line] for line in lines)
        assert after[cpu] > before[cpu], (cpu, before, after)
        assert after[1 - cpu] == before[1 - cpu], (cpu, before, after)
