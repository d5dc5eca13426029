# SPDX-License-Identifier: GPL-2.0
"""Modules that are loaded and unloaded again and again while their guest is suspended: whatever comes first, the
suspend comes to its end and so does the module."""

import re
import time

import pytest
from farm import data_disks, settled_grants
from lab.kinds import NATIVE_KINDS

pytestmark = [pytest.mark.kinds(*NATIVE_KINDS), pytest.mark.thorough, pytest.mark.timeout(1800)]

MODULES = {
    "rxen_suspend": "[ -e /sys/kernel/debug/rxen_suspend/phases ]",
    # A card at rest is not there for the stack, as with the C driver: who brings it up just then is refused.
    "rxen_netfront": "for t in $(seq 300); do ip link set eth0 up 2>/dev/null && break; sleep 0.1; done; [ $t -lt 300 ]",
    "rxen_blkfront": "for t in $(seq 300); do [ -b /dev/xvdb ] && [ -b /dev/xvdc ] && break; sleep 0.1; done;"
    " dd if=/dev/xvdb of=/dev/null bs=64k count=4 iflag=direct",
}


def wait_for_more(job, rounds: int) -> int:
    """Waits until there were more rounds than that; how many there were."""
    for _ in range(240):
        assert job.poll() is None, job.output
        now = job.output.count("round ")
        if now > rounds:
            return now
        time.sleep(0.5)
    pytest.fail(f"no round in two minutes:\n{job.output}")


@pytest.mark.parametrize("module", MODULES)
def test_module_comes_and_goes(farm, kind, module):
    # The root is the RAM disk, so that no disk keeps the driver loaded.
    guest = farm.get("ram-races", kind, root="ram", memory=512, disks=data_disks(), vifs=1)
    use = MODULES[module]
    job = guest.start(f"""rounds=0
    while [ ! -e /run/enough ]; do
        rmmod {module} || exit 1
        insmod /run/modules/{module}.ko || exit 2
        {{ {use}; }} >/run/use.log 2>&1 || {{ cat /run/use.log; ip link; exit 3; }}
        rounds=$((rounds + 1))
        echo round $rounds
    done
    rm /run/enough
    """)
    rounds = 0
    for suspend in (guest.checkpoint, guest.checkpoint, lambda: (guest.save(), guest.restore()), guest.checkpoint):
        rounds = wait_for_more(job, rounds)
        # At no fixed point of a round.
        time.sleep(1.3)
        suspend()
    wait_for_more(job, rounds)
    guest.run("touch /run/enough").check()
    job.wait(120).check()
    counts = settled_grants(guest)
    assert counts["leaked"] == counts["deferred"] == 0
