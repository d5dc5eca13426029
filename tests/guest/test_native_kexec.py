# SPDX-License-Identifier: GPL-2.0
"""Another kernel takes the place of a guest's own without the modules having been unloaded."""

import time

import pytest
from farm import data_disks, failed_hypercalls, wait_connected
from lab.guest import READY
from lab.kinds import NATIVE_KINDS
from loads import Load

# Own kernels are built without kexec.
STOCK = [name for name in NATIVE_KINDS if name.startswith("hvm")]
pytestmark = [pytest.mark.kinds(*STOCK), pytest.mark.timeout(1800)]


@pytest.fixture(params=["", "rxenbus.event_abi=1"], ids=["fifo", "2-level"])
def guest(farm, kind, request):
    name = "kexec-2" if request.param else "kexec"
    return farm.get(name, kind, disks=data_disks(), vifs=1, vcpus=2, memory=640, cmdline=request.param)


def fetch(guest, name: str, path: str) -> None:
    """Copies a file of the host's share into the guest's memory."""
    guest.host.run(f"setsid socat -u OPEN:/share/{name} TCP-LISTEN:8010,reuseaddr </dev/null >/dev/null 2>&1 &").check()
    guest.run(f"for n in 1 2 3 4 5; do sleep 1; socat -u TCP:{guest.host.address}:8010 CREATE:{path} && exit 0; done; exit 1", timeout=240).check()
    size = guest.host.run(f"stat -c %s /share/{name}").check().out.strip()
    assert guest.run(f"stat -c %s {path}").check().out.strip() == size


def test_the_next_kernel_finds_all_as_the_first_one_did(guest, lab):
    """Hypercalls of its load do not fail more often than in the first kernel: nothing of that is left in the hypervisor."""
    before = failed_hypercalls(guest)["event_channel_op"]
    kernel, initrd = guest.boot_files(guest.host)
    guest.run("mkdir -p /run/next && mount -t tmpfs -o size=200m next /run/next").check()
    fetch(guest, kernel, "/run/next/kernel")
    fetch(guest, initrd, "/run/next/initrd")
    load = Load(guest, lab.a)
    guest.run("kexec -s -l /run/next/kernel --initrd=/run/next/initrd --command-line=\"$(cat /proc/cmdline)\"", timeout=120).check()
    load.stop()
    boots = guest.console().count(READY)
    guest.start("sync; sleep 1; kexec -e")
    for _ in range(400):
        if guest.console().count(READY) > boots:
            break
        time.sleep(1)
    assert guest.console().count(READY) == boots + 1, guest.console()[-3000:]
    wait_connected(guest)
    assert failed_hypercalls(guest)["event_channel_op"] == before
    load = Load(guest, lab.a)
    guest.save()
    guest.restore()
    load.go_on()
    load.stop()
