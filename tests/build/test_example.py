# SPDX-License-Identifier: GPL-2.0
"""The example of Documentation/writing-a-frontend.md compiles, outside the tree, as the text says."""

import shutil
import subprocess
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
EXAMPLE = CLONE / "Documentation" / "example"
OUT = CLONE / "build" / "example"


def in_build_root(*command):
    """Runs a command in the build system; what it printed, with its exit code."""
    return subprocess.run(
        ["timeout", "--kill-after=10", "300", CLONE / "scripts" / "in-build-root", *command],
        cwd=CLONE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_example_frontend_compiles():
    objects = CLONE / "build" / "kbuild"
    assert (objects / "Module.symvers").exists(), "run make first"
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    tree = subprocess.run([CLONE / "scripts" / "setup-kernel", "--print"], check=True, capture_output=True, text=True)
    run = in_build_root(
        "make", "-C", tree.stdout.strip(), "CC=x86_64-linux-gnu-gcc-14", f"M={EXAMPLE}", f"MO={OUT}",
        f"RXEN={objects}", f"KBUILD_EXTRA_SYMBOLS={objects}/Module.symvers", "modules",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]
    assert "warning" not in run.stdout, run.stdout
    depends = in_build_root("modinfo", "-F", "depends", OUT / "pingfront.ko").stdout.split()
    assert depends == ["rxenbus"]


def test_text_quotes_the_example():
    """Each line of Rust in the text, less what it leaves out, is a line of the example."""
    lines = [line.strip() for line in (EXAMPLE / "pingfront.rs").read_text().splitlines()]
    text = (CLONE / "Documentation" / "writing-a-frontend.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```rust\n")[1:]]
    assert blocks
    quoted = [line.strip() for block in blocks for line in block.splitlines()]
    missing = [line for line in quoted if line and "..." not in line and line not in lines]
    assert missing == []
