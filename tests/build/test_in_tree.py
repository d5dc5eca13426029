# SPDX-License-Identifier: GPL-2.0
"""The drivers as a part of the kernel tree: modules and built in."""

import shutil
import subprocess
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
# Each module and the objects that it is made of.
MODULES = {
    "rxenbus": ["bindings/rxen_bindings.o", "xenbus/rxenbus.o", "xenbus/helpers.o", "xenbus/exports.o", "xenbus/bus/helpers.o",
                "xenbus/suspend/helpers.o"],
    "rxen_blkfront": ["blkfront/blkfront.o", "blkfront/mq/helpers.o"],
    "rxen_netfront": ["netfront/netfront.o", "netfront/net/helpers.o"],
    "rxen_suspend": ["suspend/suspend.o"],
}


@pytest.fixture(params=["m", "y"])
def built(request):
    """The objects of a build with all symbols set to m or y, and what the build printed."""
    out = CLONE / "build" / "in-tree" / request.param
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    run = subprocess.run(
        ["timeout", "--kill-after=10", "900", CLONE / "tests" / "build" / "build-in-tree", request.param, out],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    log = out / "build.log"
    log.write_text(run.stdout)
    assert run.returncode == 0, f"log: {log}\n{run.stdout[-3000:]}"
    return request.param, out, run.stdout


@pytest.mark.timeout(1200)
def test_in_tree_build(built):
    kind, out, printed = built
    settings = (out / "config").read_text().splitlines()
    for module, objects in MODULES.items():
        assert f"CONFIG_{module.upper()}={kind}" in settings, "the Kconfig did not take the setting"
        for name in objects:
            assert (out / name).is_file(), f"{name} was not built; log: {out}/build.log"
        assert (out / f"{module}.o").is_file() == (kind == "m"), f"{module}.o; log: {out}/build.log"
    assert (out / "built-in.a").is_file() == (kind == "y")
    # Kconfig tells of a symbol that was set twice or cannot be set, and the compilers of doubtful code.
    assert "warning" not in printed, f"log: {out}/build.log"
    if kind == "y":
        # The parts of the core and of the frontends find each other.
        ours = [line for line in (out / "undefined").read_text().splitlines() if "rxen" in line]
        assert ours == []
