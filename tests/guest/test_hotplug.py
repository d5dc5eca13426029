# SPDX-License-Identifier: GPL-2.0
"""Disks and cards that come, go and grow while they are used."""

import time

import pytest
from farm import settled_grants
from lab.guest import Disk
from lab.pair import DATA
from loads import DiskLoad, Load, NetworkLoad, fio
from rounds import run_rounds

# In the everyday run and in the thorough one.
ROUNDS = (2, 20)

# A reader and a writer, both of which must end with an error when the disk is taken away, and pings over the card. More
# would only starve dom0, which takes the devices away.
USE = """
    for t in $(seq 300); do [ -b /dev/xvdd ] && [ -e /sys/class/net/eth2 ] && break; sleep 0.1; done
    rm -f /run/dd.*
    ip link set eth2 up && ip addr add 10.9.2.{number}/24 dev eth2 || return 1
    for t in $(seq 300); do read -r carrier </sys/class/net/eth2/carrier; [ "$carrier" = 1 ] && break; sleep 0.1; done
    ping -i 0.2 -s 8000 10.9.2.1 >/run/flood 2>&1 &
    flood=$!
    (while dd if=/dev/xvdd of=/dev/null bs=512k iflag=direct count=64 status=none; do :; done) 2>/run/dd.read &
    (while dd if=/dev/zero of=/dev/xvdd bs=256k oflag=direct conv=nocreat seek=160 count=64 status=none; do :; done) 2>/run/dd.write &
    for t in $(seq 300); do
        read -r reads _ _ _ writes _ _ _ flying _ </sys/block/xvdd/stat
        read -r received </sys/class/net/eth2/statistics/rx_bytes
        [ $reads -gt 10 ] && [ $writes -gt 10 ] && [ $flying -gt 0 ] && [ $received -gt 8000 ] && return 0
        sleep 0.1
    done
    echo "no load: $received bytes received; $reads reads, $writes writes, $flying in flight"
    return 1"""
# A disk that is gone has no size: lseek says "Invalid argument", write "No space left".
GONE = """
    for t in $(seq 300); do [ -e /sys/block/xvdd ] || [ -e /sys/class/net/eth2 ] || break; sleep 0.1; done
    kill $flood; wait
    if [ -e /sys/block/xvdd ] || [ -e /sys/class/net/eth2 ]; then echo "still there"; return 1; fi
    cat /run/dd.*
    grep -LE "Input/output error|No such device|No such file|No space left|Invalid argument" /run/dd.* | grep . && return 1
    return 0"""

# Tells the QEMU that serves the disk that it has grown; libxl has no command for that.
QEMU_RESIZE = """
import glob, json, socket, sys
for path in glob.glob("/var/run/xen/qmp-libxl-*"):
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)
    stream = link.makefile("rw")
    def ask(command, **arguments):
        stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\\n")
        stream.flush()
        while True:
            reply = json.loads(stream.readline())
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                sys.exit(f"{command}: {reply['error']}")
    stream.readline()
    ask("qmp_capabilities")
    for node in ask("query-named-block-nodes"):
        if node["file"] == "/srv/grow.img" and node["drv"] == "raw":
            ask("block_resize", **{"node-name": node["node-name"], "size": 24 << 20})
            sys.exit(0)
sys.exit("no QEMU serves the file")
"""


@pytest.mark.timeout(2000)
def test_attach_and_detach_under_load(guest, times):
    """A disk, served by the two backends in turn, and a card are taken away many times with requests in flight: all end
    in error, none hangs, and the stream over another card does not notice."""
    specs = [Disk(f"/dev/{DATA[2]}", "xvdd").spec(), Disk(f"/dev/{DATA[2]}", "xvdd", backend="qemu").spec()]
    vif = guest.vif_spec(2, " ")
    attach = f"""case $((n % 2)) in 0) spec='{specs[0]}' ;; *) spec='{specs[1]}' ;; esac
    xl block-attach {guest.name} "$spec" & disk=$!
    xl network-attach {guest.name} {vif} && wait $disk"""
    detach = f"""xl block-detach {guest.name} xvdd & disk=$!
    xl network-detach {guest.name} {guest.mac(2)} && wait $disk"""
    network = NetworkLoad(guest, guest.host, rate=10_000)
    run_rounds(guest, times(*ROUNDS), attach, detach, USE.format(number=guest.number), GONE, timeout=1900)
    network.stop()
    counts = settled_grants(guest)
    assert counts["leaked"] == counts["deferred"] == 0


@pytest.mark.parametrize("backend", ["blkback", "qemu"])
def test_resize(guest, farm, backend):
    """A file behind the disk grows; the guest learns of it without a restart and can use the new part."""
    host = farm.lab.a
    host.run("rm -f /srv/grow.img; truncate -s 16M /srv/grow.img").check()
    guest.attach_disk(Disk("/srv/grow.img", "xvdd", backend=backend))
    try:
        wait_for_size(guest, 16)
        host.run("truncate -s 24M /srv/grow.img").check()
        if backend == "blkback":
            host.run("losetup -c $(losetup -n -O NAME -j /srv/grow.img)").check()
            # xen-blkback looks at the size when a request comes.
            guest.run("dd if=/dev/xvdd of=/dev/null bs=4k count=1 iflag=direct").check()
        else:
            host.run(f"python3 - <<'END'\n{QEMU_RESIZE}END").check()
        wait_for_size(guest, 24)
        fio(guest, {"grown": {"filename": "/dev/xvdd", "rw": "randwrite", "bs": "8k", "offset": "15m", "size": "8m"}}, 500)
    finally:
        guest.detach_disk("xvdd")
        host.run("rm -f /srv/grow.img")


def wait_for_size(guest, mebibytes: int) -> None:
    for _ in range(40):
        size = guest.run("cat /sys/block/xvdd/size 2>/dev/null").out.strip()
        if size == str(mebibytes << 11):
            return
        time.sleep(0.25)
    pytest.fail(f"the guest sees {size} sectors, not {mebibytes << 11}")


def test_read_only_disk(guest):
    guest.attach_disk(Disk(f"/dev/{DATA[2]}", "xvdd", mode="r"))
    try:
        wait_for_size(guest, 96)
        assert guest.run("cat /sys/block/xvdd/ro").out.strip() == "1"
        assert guest.run("dd if=/dev/zero of=/dev/xvdd bs=4k count=1 oflag=direct").rc != 0
        guest.run("dd if=/dev/xvdd of=/dev/null bs=64k count=8 iflag=direct").check()
    finally:
        guest.detach_disk("xvdd")


def test_backends_that_go_come_back(guest):
    """dom0's drivers are taken off a disk and a card in use, and put back: what was in flight goes on, and nothing is lost."""
    host = guest.host
    domid = host.run(f"xl domid {guest.name}").check().out.strip()
    guest.run("dmesg -C").check()
    load = Load(guest, host)
    again = "cd /sys/bus/xen-backend/drivers/{kind} && echo {name} >unbind && sleep 2 && [ ! -e {name} ] && echo {name} >bind"
    host.run(again.format(kind="vbd", name=f"vbd-{domid}-51728"), timeout=120).check()
    load.go_on()
    # What the toolstack does for a new card.
    online = f"""ip link set vif{domid}.0 master xenbr0 && ip link set vif{domid}.0 up
    xenstore-write /local/domain/0/backend/vif/{domid}/0/hotplug-status connected"""
    host.run(again.format(kind="vif", name=f"vif-{domid}-0") + "\n" + online, timeout=120).check()
    guest.run(f"ping -c 3 -i 0.3 -W 20 {host.address}", timeout=120).check()
    load.go_on()
    load.stop()
    assert not guest.run("dmesg | grep -E 'I/O error|Buffer I/O'").out
    counts = settled_grants(guest)
    assert counts["leaked"] == counts["deferred"] == 0


def test_backend_that_has_a_disk_connect_without_end(guest):
    """Its state node jumps between Closed and InitWait: a few times that is followed, then the disk takes a rest, and comes
    back by itself. The log does not have a line for each time."""
    guest.run("dmesg -C").check()
    guest.attach_disk(Disk(f"/dev/{DATA[2]}", "xvde"))
    state = f"/local/domain/0/backend/vbd/$(xl domid {guest.name})/51776/state"
    read = "dd if=/dev/xvde of=/dev/null bs=64k count=8 iflag=direct"
    connected = f"for n in $(seq 600); do [ -b /dev/xvde ] && {read} 2>/dev/null && exit 0; sleep 0.1; done; exit 1"
    try:
        guest.run(connected, timeout=90).check()
        guest.host.run(f"for n in $(seq 12); do xenstore-write {state} 6; sleep 0.7; xenstore-write {state} 2; sleep 0.7; done", timeout=120).check()
        lines = guest.run("dmesg | grep -c 'connect again and again'").out.strip()
        assert lines == "1", guest.dmesg()
        guest.run(connected, timeout=90).check()
    finally:
        guest.detach_disk("xvde")
    counts = settled_grants(guest)
    assert counts["leaked"] == counts["deferred"] == 0
