# SPDX-License-Identifier: GPL-2.0
"""The lab checks itself: vector registers must not leak between processes and domains, or no data check is worth much."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lab.images import Images

SOURCE = Path(__file__).with_name("register-leak.c")
SECONDS = 8


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The detector, compiled in the system that dom0 and the guests run."""
    system = Images.find().system / "root"
    work = tmp_path_factory.mktemp("register-leak", numbered=True)
    inside = subprocess.run(["mktemp", "-d", "-p", system / "tmp"], check=True, capture_output=True, text=True).stdout.strip()
    try:
        shutil.copy(SOURCE, inside)
        folder = "/tmp/" + Path(inside).name
        subprocess.run(
            ["chroot", system, "gcc", "-O2", "-Wall", "-Werror", "-o", f"{folder}/register-leak", f"{folder}/{SOURCE.name}"],
            check=True, timeout=120,
        )  # fmt: skip
        shutil.copy(Path(inside) / "register-leak", work)
    finally:
        shutil.rmtree(inside)
    return work / "register-leak"


def check(out: str) -> None:
    assert "register-leak: none" in out, out
    rounds = [int(count) for count in re.findall(r"(\d+) rounds, 0 bad", out)]
    assert len(rounds) == 2 and min(rounds) > 20, out


def test_detector_finds_a_changed_register(program, farm):
    """In dom0, because the program is made for its C library."""
    for host in farm.lab.hosts:
        shutil.copy(program, host.share / "register-leak")
    result = farm.lab.a.run("/share/register-leak 1 2 inject", timeout=60)
    assert result.rc == 1
    assert re.search(r"round 7: register 5 has 00", result.out), result.out


def test_no_leak_between_domains(program, guest, farm):
    """Two processes each in dom0 and in a guest, at the same time."""
    shutil.copy(program, farm.lab.a.share / "register-leak")
    guest.put("/run/register-leak", program.read_bytes())
    job = guest.start(f"chmod +x /run/register-leak; /run/register-leak {SECONDS} 2")
    check(farm.lab.a.run(f"/share/register-leak {SECONDS} 2", timeout=SECONDS + 120).out)
    check(job.wait(SECONDS + 120).out)
