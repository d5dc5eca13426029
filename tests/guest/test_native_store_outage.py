# SPDX-License-Identifier: GPL-2.0
"""A xenstored that does not answer for a while: what is connected goes on, requests end in time, and afterwards
everything works again."""

import contextlib
import re
import time

import pytest
from farm import data_disks
from lab.guest import Disk
from lab.kinds import NATIVE_KINDS
from loads import Load

pytestmark = [pytest.mark.kinds(*NATIVE_KINDS), pytest.mark.thorough, pytest.mark.timeout(1800)]

# Seconds that a reply may take.
PATIENCE = 3
COMPLAINT = r"xenstore: no reply to request"

# In dom0: a guest's vCPUs and device model go on without a word to xenstored, which xl cannot do.
GO_ON = """
import ctypes, glob, json, socket, sys
domid = int(sys.argv[1])
model = socket.socket(socket.AF_UNIX)
model.connect(f"/var/run/xen/qmp-libxl-{domid}")
lines = model.makefile("rw")
lines.readline()
for command in ("qmp_capabilities", "cont"):
    lines.write(json.dumps({"execute": command}) + "\\n")
    lines.flush()
    while "return" not in json.loads(lines.readline()):
        pass
control = ctypes.CDLL(glob.glob("/usr/lib/**/libxenctrl.so.4*", recursive=True)[0])
control.xc_interface_open.restype = ctypes.c_void_p
handle = control.xc_interface_open(None, None, 0)
sys.exit(control.xc_domain_unpause(ctypes.c_void_p(handle), domid))
"""


@pytest.fixture
def guest(farm, kind):
    return farm.get("outage", kind, disks=data_disks(), vifs=1, cmdline=f"rxenbus.store_timeout={PATIENCE}")


@contextlib.contextmanager
def outage(host):
    """xenstored stands still meanwhile."""
    host.run("kill -STOP $(cat /run/xenstored.pid)").check()
    try:
        yield
    finally:
        host.run("kill -CONT $(cat /run/xenstored.pid)").check()


def counters(guest) -> dict[str, int]:
    out = guest.run("cat /sys/kernel/debug/rxenbus/store").check().out
    return {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", out, re.M)}


def caches(guest) -> str:
    """Which disks are flushed: a feature that cannot be read must not get lost."""
    out = guest.run("grep . /sys/block/xvd?/queue/write_cache").check().out
    assert "write back" in out, out
    return out


def check_hotplug(guest) -> None:
    """A disk comes and goes, which the guest only learns from its watches."""
    guest.host.run("rm -f /srv/late.img; truncate -s 8M /srv/late.img").check()
    guest.attach_disk(Disk("/srv/late.img", "xvdp"))
    guest.run("for n in $(seq 300); do [ -b /dev/xvdp ] && exit 0; sleep 0.1; done; exit 1", timeout=90).check()
    guest.run("dd if=/dev/xvdp of=/dev/null bs=64k count=8 iflag=direct").check()
    guest.detach_disk("xvdp")
    guest.run("for n in $(seq 300); do [ -b /dev/xvdp ] || exit 0; sleep 0.1; done; exit 1", timeout=90).check()


# By itself: dom0 finds a guest's console by way of xenstored.
REQUEST = """sleep 10
now() { cut -d. -f1 /proc/uptime; }
moved() { awk '{ print $3 + $7 }' /sys/block/xvdb/stat; }
begin=$(now); timeout -s KILL 60 xenstore-read domid; echo "rc $? after $(($(now) - begin)) s"
before=$(moved); sleep 5; echo "moved $(($(moved) - before))"
"""


def test_requests_end_in_time(guest, lab, farm):
    farm.expect(COMPLAINT)
    load = Load(guest, lab.a)
    before = counters(guest)["timeouts"]
    job = guest.start(REQUEST)
    with outage(guest.host):
        time.sleep(40 * guest.spec.patience)
    out = job.wait(120).check().out
    code, took = re.search(r"rc (\d+) after (\d+) s", out).groups()
    assert code == "1" and PATIENCE <= int(took) < 20, out
    assert int(re.search(r"moved (\d+)", out)[1]) > 0, out
    load.network.assert_alive()
    assert counters(guest)["timeouts"] > before
    # Late replies are nobody's any more.
    assert guest.run("xenstore-read domid", timeout=60).check().out.strip() == guest.host.run(f"xl domid {guest.name}").out.strip()
    check_hotplug(guest)
    load.stop()


def test_watches_that_were_not_taken_after_a_restore_are_later(guest, farm):
    farm.expect(COMPLAINT)
    path = "/srv/guest.save"
    host = guest.host
    (host.share / "go-on.py").write_text(GO_ON)
    guest.run("dmesg -C").check()
    before = caches(guest)
    guest.save(path)
    host.run(f"xl restore -p {path} && rm {path}", timeout=180).check()
    domid = host.run(f"xl domid {guest.name}").check().out.strip()
    with outage(host):
        host.run(f"python3 /share/go-on.py {domid}", timeout=60).check()
        time.sleep(10 * PATIENCE)
    check_hotplug(guest)
    # 4 is XS_WATCH.
    assert re.search(rf"{COMPLAINT} 4 for", guest.dmesg())
    assert caches(guest) == before
    guest.run(f"dd if=/dev/xvdb of=/dev/null bs=64k count=8 iflag=direct; ping -c 3 -i 0.3 -W 5 {host.address}").check()


# Has many watches and some transactions, waits until xenstored does not answer, asks for more than the kernel sends for
# programs at a time, and closes the file.
HOARDER = """
import os, struct, time
def ask(kind, payload, wait=True):
    os.write(file, struct.pack("<IIII", kind, 0, 0, len(payload)) + payload)
    while wait:
        kind, _, _, length = struct.unpack("<IIII", whole(16))
        payload = whole(length)
        if kind != WATCH_EVENT:
            return kind, payload
def whole(length):
    data = b""
    while len(data) < length:
        data += os.read(file, length - len(data))
    return data
READ, WATCH, TRANSACTION_START, WATCH_EVENT, ERROR = 2, 4, 6, 15, 16
file = os.open("/dev/xen/xenbus", os.O_RDWR)
for n in range(WATCHES):
    assert ask(WATCH, b"data/hoard%d\\0token\\0" % n)[0] == WATCH
for n in range(TRANSACTIONS):
    assert ask(TRANSACTION_START, b"\\0")[0] == TRANSACTION_START
print("hoarded", flush=True)
while ask(READ, b"domid\\0")[0] != ERROR:
    time.sleep(0.2)
for n in range(40):
    ask(READ, b"domid\\0", wait=False)
begun = time.monotonic()
os.close(file)
print("closed in", time.monotonic() - begun)
"""
WATCHES, TRANSACTIONS = 60, 5


def held(guest) -> dict[str, int]:
    """What xenstored keeps for the guest."""
    out = guest.host.run(f"xenstore-control quota $(xl domid {guest.name})").check().out
    return {name: int(value) for name, value in re.findall(r"^(watches|transactions) *: *(\d+)", out, re.M)}


def test_a_file_is_closed_without_a_wait_and_leaves_nothing_behind(guest, farm):
    farm.expect(COMPLAINT)
    before = held(guest)
    script = f"WATCHES, TRANSACTIONS = {WATCHES}, {TRANSACTIONS}\n{HOARDER}"
    guest.put("/run/hoarder", script.encode())
    job = guest.start("python3 /run/hoarder")
    for _ in range(120):
        if job.poll() is not None or "hoarded" in job.output:
            break
        time.sleep(0.5)
    assert "hoarded" in job.output, job.output
    assert held(guest) == {"watches": before["watches"] + WATCHES, "transactions": TRANSACTIONS}
    with outage(guest.host):
        time.sleep(20 * guest.spec.patience)
    out = job.wait(120).check().out
    assert float(re.search(r"closed in (\S+)", out)[1]) < PATIENCE / 2, out
    for _ in range(60):
        if held(guest) == before and counters(guest)["owed"] == 0:
            break
        time.sleep(0.5)
    assert held(guest) == before
    assert counters(guest)["owed"] == 0
    check_hotplug(guest)
