# SPDX-License-Identifier: GPL-2.0
"""The pure parts of the drivers, compiled and tested on the build machine: one test for each crate.

The tests themselves are Rust, in xenbus/tests and so on; `./run-cargo test` runs them without pytest.
"""

import os
import pathlib
import re
import signal
import subprocess
import tomllib

import pytest

HERE = pathlib.Path(__file__).resolve().parent
LOGS = HERE.parents[1] / "build" / "logs"
# The crates index may be slow, and the first run compiles what the tests need.
LIMIT = 900
# Lines of cargo's output that a failure shows.
SHOWN = 150


def crates():
    """The members of the workspace that are tested: all but the C side that they are compared with."""
    members = tomllib.loads((HERE / "Cargo.toml").read_text())["workspace"]["members"]
    return [member for member in members if member != "reference"]


def declared_tests(crate):
    """How many tests the source of a crate declares."""
    sources = (HERE / crate / "tests").rglob("*.rs")
    return sum(len(re.findall(r"^\s*#\[test\]", source.read_text(), re.MULTILINE)) for source in sources)


def run_cargo(crate):
    """Runs a crate's tests; returns the exit status, the output and the log that has it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"host-{crate}.log"
    command = [str(HERE / "run-cargo"), "test", "--locked", "--no-fail-fast", "--package", f"pure-{crate}"]
    # Colours are for terminals.
    environment = os.environ | {"CARGO_TERM_COLOR": "never"}
    with (
        log.open("w") as output,
        # A group of its own, so that nothing is left of a test that hangs.
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        ) as cargo,
    ):
        try:
            status = cargo.wait(LIMIT)
        except BaseException:
            os.killpg(cargo.pid, signal.SIGKILL)
            raise
    return status, log.read_text(errors="replace"), log


@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize("crate", crates())
def test_pure_part(crate):
    status, output, log = run_cargo(crate)
    end = "\n".join(output.splitlines()[-SHOWN:])
    assert status == 0, f"cargo test ended with status {status}; all of its output is in {log}, the end of it:\n{end}"
    results = re.findall(r"^test result: ok\. (\d+) passed; 0 failed; (\d+) ignored;", output, re.MULTILINE)
    passed = sum(int(count) for count, _ in results)
    ignored = sum(int(count) for _, count in results)
    declared = declared_tests(crate)
    assert passed == declared > 0 and ignored == 0, (
        f"{declared} tests are declared, {passed} passed, {ignored} were ignored; see {log}"
    )
