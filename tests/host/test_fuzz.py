# SPDX-License-Identifier: GPL-2.0
"""libFuzzer on the pure parts that read what the other end writes, for a minute each."""

import pathlib
import re
import subprocess

import pytest

FUZZ = pathlib.Path(__file__).resolve().parents[1] / "fuzz"
LOGS = FUZZ.parents[1] / "build" / "logs"
SECONDS = 60
# The first run compiles libFuzzer.
LIMIT = 900
# What the script says where there is no C++ compiler.
NOT_RUN = 77


@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize("target", sorted(path.stem for path in (FUZZ / "fuzz_targets").glob("*.rs")))
def test_fuzz(target):
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"fuzz-{target}.log"
    with log.open("w") as output:
        status = subprocess.run(
            [FUZZ / "run", target, str(SECONDS)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
        ).returncode
    text = log.read_text(errors="replace")
    if status == NOT_RUN:
        pytest.skip(text.strip())
    assert status == 0, f"status {status}; what was found is in {FUZZ}/artifacts/{target}, all output in {log}:\n{text[-3000:]}"
    runs = re.search(r"^stat::number_of_executed_units: *(\d+)", text, re.M)
    assert runs and int(runs[1]) > 1000, f"hardly anything was tried; see {log}"
