# SPDX-License-Identifier: GPL-2.0
"""The pure parts under Miri, where this machine has it; skipped with the reason elsewhere, never passed."""

import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
LOG = HERE.parents[1] / "build" / "logs" / "miri.log"
LIMIT = 3600
# What the script says where there is no Miri.
NOT_RUN = 77


@pytest.mark.timeout(LIMIT + 60)
def test_miri():
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("w") as output:
        status = subprocess.run(
            [HERE / "run-miri"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
        ).returncode
    text = LOG.read_text(errors="replace")
    if status == NOT_RUN:
        pytest.skip(text.strip().splitlines()[-1])
    assert status == 0, f"status {status}; all output is in {LOG}:\n{text[-5000:]}"
    assert "Miri: ran " in text.splitlines()[-1], f"it does not say what it ran; see {LOG}"
