# SPDX-License-Identifier: GPL-2.0
"""Network cards: what drives them, data both ways, counters, carrier, coming and going."""

import json
import re
import time

import pytest
from loads import DiskLoad, NetworkLoad


@pytest.fixture
def jumbo(guest, farm):
    """MTU 9000 along the whole way, and back."""

    def set_mtu(mtu: int) -> None:
        domid = guest.host.run(f"xl domid {guest.name}").check().out.strip()
        guest.host.run(f"ip link set xenbr0 mtu {mtu}; for c in /sys/class/net/vif{domid}.*; do ip link set ${{c##*/}} mtu {mtu}; done").check()
        guest.run(f"ip link set eth0 mtu {mtu}").check()

    set_mtu(9000)
    yield
    set_mtu(1500)


def counters(guest, card: str) -> dict[str, int]:
    out = guest.run(f"ethtool -S {card}").check().out
    return {name: int(value) for name, value in re.findall(r"^\s+(\w+): (\d+)$", out, re.M)}


def stream_both_ways(guest, kibibytes: int = 2048) -> None:
    """TCP at full speed until so much has passed each way, each byte checked."""
    load = NetworkLoad(guest, guest.host, rate=50_000_000)
    start = now = [0, 0]
    end = time.monotonic() + 200
    while min(new - old for new, old in zip(now, start, strict=True)) < kibibytes << 10:
        assert time.monotonic() < end, f"too slow: {start} -> {now}"
        out = guest.run("cat /sys/class/net/eth0/statistics/[rt]x_bytes").check().out
        now = [int(count) for count in out.split()]
        start = start if any(start) else now
        time.sleep(0.5)
        load.assert_alive()
    # The counters include headers and what is sent again.
    assert load.stop()["bytes"] > kibibytes << 9


@pytest.mark.each_kind
def test_cards_are_on_our_driver(guest):
    out = guest.run("for c in eth0 eth1; do ethtool -i $c; readlink /sys/class/net/$c/device/driver; cat /sys/class/net/$c/carrier; done").check().out
    assert re.findall(r"^driver: (\S+)", out, re.M) == ["rxen_netfront"] * 2
    assert re.findall(r"drivers/(\S+)", out) == ["rxen_netfront"] * 2
    assert re.findall(r"^1$", out, re.M) == ["1", "1"]


def test_tcp_at_mtu_1500(guest):
    before = counters(guest, "eth0")
    stream_both_ways(guest)
    after = counters(guest, "eth0")
    assert after["events"] > before["events"]
    assert after["tx_notifications"] > before["tx_notifications"]


def test_tcp_at_mtu_9000(guest, jumbo):
    """Unfragmented packets of that size pass, and the stream is right."""
    address = guest.host.address
    guest.run(f"ping -M do -s 8972 -c 3 -i 0.3 -W 5 {address}", timeout=60).check()
    stream_both_ways(guest)


def test_without_offloads(guest):
    """Checksums and segmentation by the stack: frames of one slot each."""
    guest.run("ethtool -K eth0 tso off gso off gro off tx off sg off", timeout=60).check()
    try:
        stream_both_ways(guest, 512)
    finally:
        guest.run("ethtool -K eth0 tx on sg on tso on gso on gro on", timeout=60)


@pytest.mark.each_kind
def test_two_cards_and_three_disks_at_once(guest):
    cards = [NetworkLoad(guest, guest.host, card=card) for card in (0, 1)]
    disks = DiskLoad(guest, ["xvdb", "xvdc"])
    root = guest.start("set -e; for n in 1 2 3; do dd if=/dev/urandom of=/srv/f bs=64k count=32 status=none; sync; md5sum /srv/f >/run/sum; echo 3 >/proc/sys/vm/drop_caches; md5sum -c --quiet /run/sum; done; rm /srv/f")
    disks.wait_progress()
    root.wait(150).check()
    for card in cards:
        assert card.stop()["bytes"] > 100_000
    disks.stop()
    for number, card in enumerate(cards):
        # The second card's traffic really went over the second card.
        statistics = guest.run(f"cat /sys/class/net/eth{number}/statistics/tx_bytes").check().out
        assert int(statistics) > 100_000


def test_ping_of_all_sizes(guest):
    """Small and fragmented packets, with their contents compared."""
    script = f"""set -e
    ping -s 0 -c 2 -i 0.2 -W 5 {guest.host.address}
    for size in 1 56 1472 1473 8000 30000; do ping -p a55a0ff0 -s $size -c 2 -i 0.2 -W 5 {guest.host.address}; done"""
    guest.run(script, timeout=120).check()


def test_carrier_follows_the_link(guest):
    guest.run("ip link set eth1 down").check()
    assert guest.run("cat /sys/class/net/eth1/operstate").out.strip() == "down"
    guest.run("ip link set eth1 up").check()
    time.sleep(1)
    assert guest.run("cat /sys/class/net/eth1/carrier").out.strip() == "1"
    guest.run(f"ping -c 2 -W 5 {guest.host.address}", timeout=60).check()


def test_iperf_both_ways(guest):
    guest.host.run("iperf3 -s -1 -D -p 7100 && sleep 1").check()
    out = guest.run(f"iperf3 -c {guest.host.address} -p 7100 -t 5 -l 16K --bidir -J", timeout=120).check().out
    sums = json.loads(out)["end"]
    assert sums["sum_received"]["bytes"] > 1 << 16
    assert sums["sum_received_bidir_reverse"]["bytes"] > 1 << 16
