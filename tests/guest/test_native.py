# SPDX-License-Identifier: GPL-2.0
"""What only a guest without a C Xen core has: xenstore, shutdown and interrupts are ours too."""

import re
import time

import pytest
from farm import data_disks, grants
from lab.guest import Disk
from lab.kinds import KINDS
from lab.pair import DATA
from loads import DiskLoad, NetworkLoad

pytestmark = pytest.mark.kinds(*[name for name, kind in KINDS.items() if kind.native])

# A few requests of the wire protocol on the device file, which no tool of the guest can do.
STORE = r"""
import os, struct, sys
class Store:
    def __init__(self):
        self.file = os.open("/dev/xen/xenbus", os.O_RDWR)
        self.number = 0
    def send(self, kind, *parts, transaction=0):
        self.number += 1
        payload = b"".join(parts)
        os.write(self.file, struct.pack("<IIII", kind, self.number, transaction, len(payload)) + payload)
        while True:
            kind_back, number, _, size = struct.unpack("<IIII", self.take(16))
            payload = self.take(size)
            if kind_back != WATCH_EVENT:
                assert number == self.number, (number, self.number)
                return (OK, payload) if kind_back == kind else (ERROR, payload.rstrip(b"\0").decode())
    def take(self, size):
        data = b""
        while len(data) < size:
            more = os.read(self.file, size - len(data))
            assert more, "end of file"
            data += more
        return data
OK, ERROR = "ok", "error"
DIRECTORY, READ, START, END, WRITE, RM, WATCH_EVENT = 1, 2, 6, 7, 11, 13, 15
"""


def in_python(guest, script: str, timeout: float = 60) -> str:
    """What a script of the guest's Python prints."""
    return guest.run(f"cat >/run/store.py <<'END'\n{STORE}\n{script}\nEND\npython3 /run/store.py", timeout).check().out


def xenstore(host, guest, path: str, value: str | None = None) -> str:
    """Reads or writes a node of the guest from dom0."""
    node = f"/local/domain/$(xl domid {guest.name})/{path}"
    if value is None:
        return host.run(f"xenstore-read {node}").out.strip()
    return host.run(f"xenstore-write {node} '{value}'").check().out


# --- xenstore ----------------------------------------------------------------------------------------------------


def test_only_our_core(guest):
    """No part of the kernel's own is at work: neither its drivers nor what it shows of the hypervisor."""
    out = guest.run("ls /sys/hypervisor 2>/dev/null; cut -d' ' -f1 /proc/modules; ls /sys/bus/xen/drivers").check().out
    words = set(out.split())
    assert {"rxenbus", "rxen_suspend", "rxen_blkfront", "rxen_netfront"} <= words, out
    assert not {"xen_blkfront", "xen_netfront", "type", "vbd", "vif"} & words, out


def test_devices_in_sysfs(guest):
    """As the C bus has them, so that udev loads the frontends."""
    script = """for d in /sys/bus/xen/devices/*; do
        echo "$(basename $d): $(cat $d/nodename $d/devtype $d/modalias $d/state | tr '\\n' ' ')$(grep MODALIAS $d/uevent)"
    done"""
    lines = guest.run(script).check().out.splitlines()
    assert "vbd-51712: device/vbd/51712 vbd xen:vbd Connected MODALIAS=xen:vbd" in lines
    assert "vif-0: device/vif/0 vif xen:vif Connected MODALIAS=xen:vif" in lines


def test_xenstore_tools(guest):
    script = """set -e
    xenstore-ls device
    xenstore-write data/tools "a value" && xenstore-read data/tools
    xenstore-list data
    xenstore-rm data/tools
    ! xenstore-read data/tools 2>&1
    ! xenstore-write /local/domain/0/mine 1 2>&1"""
    out = guest.run(script).check().out
    assert re.search(r'^51712 = ""\n(\s+\w.*\n)* state = "4"', out.replace(" 51712", "51712"), re.M), out
    assert re.search(r"^a value$", out, re.M)
    assert re.search(r"^tools$", out, re.M)
    assert "couldn't read path data/tools" in out
    assert "could not write path /local/domain/0/mine" in out


def test_xenstore_watch(guest):
    """A watch of a program in the guest, with writes from both sides."""
    job = guest.start("xenstore-write data/watched 0; timeout 50 xenstore-watch -n 4 data/watched; echo watch ended with $?")
    for _ in range(100):
        job.poll()
        if "data/watched" in job.output:
            break
        time.sleep(0.1)
    xenstore(guest.host, guest, "data/watched", "1")
    guest.run("xenstore-write data/watched/below 2").check()
    xenstore(guest.host, guest, "data/watched/below", "3")
    out = job.wait(60).check().out
    assert "watch ended with 0" in out
    assert out.count("data/watched/below") == 2, out


def test_xenstore_transactions(guest):
    """One is committed, one aborted, and one loses against another program."""
    out = in_python(guest, """
one, other = Store(), Store()
def value():
    return other.send(READ, b"data/counter\\0")
def begin(store):
    state, number = store.send(START, b"\\0")
    assert state == OK, number
    return int(number.rstrip(b"\\0"))
assert one.send(WRITE, b"data/counter\\0", b"0")[0] == OK
number = begin(one)
assert one.send(WRITE, b"data/counter\\0", b"1", transaction=number)[0] == OK
assert value() == (OK, b"0"), value()
assert one.send(END, b"T\\0", transaction=number)[0] == OK
assert value() == (OK, b"1"), value()
number = begin(one)
assert one.send(WRITE, b"data/counter\\0", b"2", transaction=number)[0] == OK
assert one.send(END, b"F\\0", transaction=number)[0] == OK
assert value() == (OK, b"1"), value()
number = begin(one)
assert one.send(READ, b"data/counter\\0", transaction=number) == (OK, b"1")
assert one.send(WRITE, b"data/counter\\0", b"3", transaction=number)[0] == OK
assert other.send(WRITE, b"data/counter\\0", b"9")[0] == OK
print("conflict:", one.send(END, b"T\\0", transaction=number))
assert value() == (OK, b"9"), value()
# What a program leaves open ends with it.
for _ in range(40):
    left = Store()
    begin(left)
    os.close(left.file)
begin(one)
print("done")
""")  # fmt: skip
    assert "conflict: ('error', 'EAGAIN')" in out
    assert "done" in out


def test_xenstore_bad_requests(guest):
    """What a program writes wrongly is its own trouble: the next one is served."""
    out = in_python(guest, """
def attempt(data):
    store = Store()
    try:
        os.write(store.file, data)
    except OSError as error:
        print("refused:", error.strerror)
    os.close(store.file)
attempt(struct.pack("<IIII", READ, 1, 0, 5000) + b"x" * 100)
attempt(struct.pack("<IIII", READ, 1, 0, 0xFFFFFFFF))
attempt(struct.pack("<IIII", 9999, 1, 0, 2) + b"x\\0")
attempt(b"\\1\\0\\0")
attempt(struct.pack("<IIII", READ, 1, 77, 9) + b"data/no\\0\\0")
print(Store().send(READ, b"data/none\\0"))
""")  # fmt: skip
    assert "('error', 'ENOENT')" in out


def test_xenstore_by_many_programs_at_once(guest):
    script = """cat >/run/many.sh <<'END'
    for n in $(seq 40); do
        xenstore-write data/many/$1 $n || exit 1
        [ "$(xenstore-read data/many/$1)" = $n ] || exit 1
    done
    echo done $1
END
    for k in $(seq 8); do bash /run/many.sh $k & done; wait; xenstore-rm data/many"""
    out = guest.run(script, timeout=300).check().out
    assert sorted(re.findall(r"done (\d)", out)) == [str(k) for k in range(1, 9)]


def test_long_directory(guest):
    """More names than a message holds."""
    script = """for n in $(seq 400); do echo data/long/a-rather-long-name-of-a-node-$n v; done | xargs -n 200 xenstore-write
    xenstore-list data/long | wc -l; xenstore-ls data/long | wc -l; xenstore-rm data/long"""
    assert guest.run(script, timeout=120).check().out.split() == ["400", "400"]


# --- interrupts --------------------------------------------------------------------------------------------------


def interrupts(guest) -> dict[str, int]:
    """How often each interrupt of a device of ours came, by name, from /proc/interrupts."""
    counts = {}
    for line in guest.run("cat /proc/interrupts").check().out.splitlines()[1:]:
        fields = line.split()
        if re.match(r"xenstore|v[bi][df]-", fields[-1]):
            counts[fields[-1]] = sum(int(field) for field in fields[1:] if field.isdigit())
    return counts


def test_ports_are_interrupts(guest):
    before = interrupts(guest)
    assert {"vbd-51712-ring", "vbd-51728-ring", "vbd-51744-ring"} <= set(before), before
    assert len([name for name in before if name.startswith("vif-0-")]) >= 1, before
    guest.run(f"dd if=/dev/xvdb of=/dev/null bs=64k count=40 iflag=direct; ping -c 3 -i 0.3 {guest.host.address}", timeout=60).check()
    after = interrupts(guest)
    assert after["vbd-51728-ring"] > before["vbd-51728-ring"]
    assert sum(after[name] - before[name] for name in before if name.startswith("vif-0-")) > 0


# --- shutdown ----------------------------------------------------------------------------------------------------

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
    for feature in ("poweroff", "reboot", "suspend", "sysrq"):
        assert xenstore(host, mortal, f"control/feature-{feature}") == "1"
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


# --- suspend -----------------------------------------------------------------------------------------------------

CYCLES = 25
CHECKPOINTS = 10
MIGRATIONS = 10


@pytest.fixture
def loaded(shared_guest, lab):
    """fio with verify on two disks, and a TCP connection to the first host."""
    guest = shared_guest(anywhere=True)
    guest.run("dmesg -C").check()
    # Slow enough to leave time for the toolstack.
    disks = DiskLoad(guest, ["xvdb", "xvdc"], rate="200k")
    network = NetworkLoad(guest, lab.a, rate=20_000)
    disks.wait_progress(120)
    yield guest, disks, network
    network.assert_alive()
    disks.wait_progress(120)
    disks.stop()
    network.stop()
    assert not guest.run("dmesg | grep -E 'I/O error|Buffer I/O|EXT4-fs (error|warning)'").out
    counts = settled_grants(guest)
    assert counts["leaked"] == counts["deferred"] == 0


def settled_grants(guest) -> dict[str, int]:
    """The grant counters, once the deferred worker has had time."""
    for _ in range(20):
        counts = grants(guest)
        if not counts["deferred"]:
            break
        time.sleep(0.5)
    return counts


@pytest.mark.timeout(7200)
def test_25_times_save_and_restore(loaded):
    guest, disks, network = loaded
    begun = len(interrupts(guest))
    for cycle in range(CYCLES):
        guest.save()
        guest.restore()
        network.assert_alive()
        assert len(interrupts(guest)) == begun, f"cycle {cycle}"
    disks.wait_progress(120)


@pytest.mark.timeout(3600)
def test_10_cancelled_suspends(loaded):
    """Nothing is rebuilt: the same ports, the same interrupts, and the counters go on."""
    guest, disks, network = loaded
    ports = "xenstore-ls device | grep -E 'event-channel|ring-ref'"
    before = guest.run(ports).check().out
    counts = interrupts(guest)
    for _ in range(CHECKPOINTS):
        guest.checkpoint()
        network.assert_alive()
    assert guest.run(ports).check().out == before
    after = interrupts(guest)
    assert set(after) == set(counts)
    assert all(after[name] >= counts[name] for name in counts), (counts, after)
    disks.wait_progress(120)


@pytest.mark.timeout(7200)
def test_10_live_migrations(loaded, lab):
    guest, disks, network = loaded
    for _ in range(MIGRATIONS):
        guest.migrate(lab.b if guest.host is lab.a else lab.a)
        network.assert_alive()
        disks.wait_progress(180)


@pytest.fixture
def many_processors(farm, kind):
    """Gives a guest with so many vCPUs."""
    return lambda vcpus: farm.get(f"vcpus{vcpus}", kind, vcpus=vcpus, disks=data_disks(), vifs=1, memory=320)


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("vcpus", [2, 4, 8])
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
    before = guest.run("date +%s.%N; cut -d' ' -f1 /proc/uptime").check().out.split()
    guest.save()
    time.sleep(20)
    guest.restore()
    after = guest.run("date +%s.%N; cut -d' ' -f1 /proc/uptime").check().out.split()
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


@pytest.mark.timeout(2400)
def test_fault_on_the_way_in(loaded):
    """The guest goes on as if nobody had asked, whatever phase it was; and the next suspend works."""
    guest, disks, network = loaded
    for phase in WAY_IN:
        before = phases(guest)
        inject(guest, phase)
        # The toolstack has nothing to do with it, so that it need not run out of patience.
        xenstore(guest.host, guest, "control/shutdown", "suspend")
        for _ in range(120):
            after = phases(guest)
            if after["failed"] > before["failed"]:
                break
            time.sleep(0.5)
        assert after["failed"] == before["failed"] + 1, (phase, before, after)
        assert after[phase][1] == before[phase][1] + 1
        assert (after["restored"], after["cancelled"]) == (before["restored"], before["cancelled"])
        assert xenstore(guest.host, guest, "control/shutdown") == ""
        assert not guest.run(f"cat {DEBUGFS}/fail").check().out
        network.assert_alive()
        disks.wait_progress(120)
    guest.checkpoint()
    assert phases(guest)["cancelled"] == before["cancelled"] + 1


@pytest.mark.timeout(2400)
def test_fault_on_the_way_out_of_a_cancelled_suspend(loaded):
    guest, disks, network = loaded
    for phase in AFTER_EACH:
        before = phases(guest)
        inject(guest, phase)
        guest.checkpoint()
        after = phases(guest)
        assert after["cancelled"] == before["cancelled"] + 1
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
        after = phases(guest)
        assert after["restored"] == before["restored"] + 1
        assert after[phase][1] == before[phase][1] + 1
        network.assert_alive()
        disks.wait_progress(120)


def test_failed_save(shared_guest, lab):
    """A save for which there is no room: the toolstack gives up after the guest has suspended."""
    guest = shared_guest()
    network = NetworkLoad(guest, lab.a, rate=20_000)
    guest.host.run("mkdir -p /tmp/small && mount -t tmpfs -o size=16m small /tmp/small").check()
    try:
        before = phases(guest)
        assert guest.xl(f"save {guest.name} /tmp/small/image").rc != 0
        for _ in range(60):
            after = phases(guest)
            if after["cancelled"] > before["cancelled"]:
                break
            time.sleep(0.5)
        network.stop()
    finally:
        guest.host.run("umount /tmp/small")


# --- many devices, and none --------------------------------------------------------------------------------------

DISKS, CARDS = 8, 4


@pytest.mark.timeout(2400)
def test_8_disks_and_4_cards(farm, kind, lab):
    """All work at once, also after a restore."""
    extra = " ".join(f"/srv/many{n}.img" for n in range(DISKS))
    lab.a.run(f"for f in {extra}; do rm -f $f; truncate -s 16M $f; done").check()
    disks = [Disk(f"/srv/many{n}.img", f"xvd{chr(ord('b') + n)}", backend="qemu" if n % 2 else "blkback") for n in range(DISKS - 1)]
    try:
        guest = farm.get("many", kind, disks=disks, vifs=CARDS)
        names = [disk.name for disk in disks]
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


LOAD = "for m in $(cat /run/lab/frontends); do insmod /run/modules/$m.ko; done"
UNLOAD = "for m in $(tac /run/lab/frontends); do rmmod $m; done"
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
