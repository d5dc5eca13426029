# SPDX-License-Identifier: GPL-2.0
"""The lab and its guests as fixtures; logs are checked after each test and kept when it fails."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from farm import Farm, data_disks
from lab.kinds import HOSTED, KINDS, NATIVE
from lab.pair import CLONE, Lab

# This type has all tests in the everyday run; the others have those marked `each_kind`, or `everyday` for them.
EVERYDAY = ["pvh"]
LOGS = CLONE / "build" / "test-logs"
FARM = pytest.StashKey[Farm]()
FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser):
    parser.addoption("--lab", type=Path, help="use the lab that scripts/lab/run keeps running in this folder")
    parser.addoption(
        "--kinds", help=f"the types of guests, of {','.join(KINDS)} (default: {','.join(HOSTED + NATIVE)}, of which all but "
        f"{','.join(EVERYDAY)} get a few tests each unless --thorough is given)",
    )  # fmt: skip
    parser.addoption("--thorough", action="store_true", help="all repetitions, and the tests that are left out of the everyday run")


def wanted_kinds(config) -> list[str]:
    """What --kinds says."""
    kinds = (config.getoption("--kinds") or ",".join(HOSTED + NATIVE)).split(",")
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise pytest.UsageError(f"--kinds: {', '.join(unknown)}: not of {', '.join(KINDS)}")
    return kinds


def pytest_generate_tests(metafunc):
    """A test runs once for each type of guest. Session-wide, so that all tests of a type run one after the other and
    share a guest."""
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", wanted_kinds(metafunc.config), indirect=True, scope="session")


def pytest_configure(config):
    # So that the hosts end when the run is ended from outside.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended from outside", 143))
    if config.getoption("numprocesses", None):
        config.pluginmanager.register(Progress(config))


class Progress:
    """A line for each test of a parallel run, in place of a dot."""

    def __init__(self, config):
        self.config = config
        self.start = time.monotonic()

    def pytest_report_teststatus(self, report):
        # The letter that would be shown; an empty one still counts.
        if report.when == "call" and report.passed:
            return "passed", "", "PASSED"
        return None

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or not report.passed:
            outcome = "passed" if report.passed else f"{report.when} {report.outcome}"
            elapsed = time.monotonic() - self.start
            self.config.pluginmanager.getplugin("terminalreporter").write_line(
                f"[{elapsed:4.0f}s] {outcome}: {report.nodeid} in {report.duration:.0f} s"
            )


def wanted_kind(item) -> bool:
    """Whether the test is for this type of guest."""
    marker = item.get_closest_marker("kinds")
    return marker is None or item.callspec.params["kind"] in marker.args


def wanted_today(config, item) -> bool:
    """Whether the test is part of this run, which is the everyday one or the thorough one."""
    if config.getoption("thorough"):
        return True
    if item.get_closest_marker("thorough"):
        return False
    if config.getoption("--kinds") or not has_kind(item) or item.get_closest_marker("each_kind"):
        return True
    more = item.get_closest_marker("everyday")
    return item.callspec.params["kind"] in [*EVERYDAY, *(more.args if more else [])]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        if "farm" in item.fixturenames:
            item.add_marker(pytest.mark.lab)
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items[:] = [item for item in items if wanted_kind(item) and wanted_today(config, item)]
    if config.getoption("numprocesses", None) or "PYTEST_XDIST_WORKER" in os.environ:
        # Groups are handed out in this order: the long ones first, so that no process is idle at the end.
        items.sort(key=lambda item: ("farm" not in item.fixturenames, not has_kind(item)))
    else:
        # What needs no lab comes first, then what checks the lab itself.
        items.sort(key=lambda item: ("farm" in item.fixturenames, "lab" not in item.path.parts))


def has_kind(item) -> bool:
    return hasattr(item, "callspec") and "kind" in item.callspec.params


def group(item) -> str:
    """Tests of a group run one after the other in one process: those of a type of guest share a guest, all others of
    the lab its hosts, those of a folder what they build."""
    if has_kind(item):
        return item.callspec.params["kind"]
    return "lab" if "farm" in item.fixturenames else item.path.parent.name


@pytest.fixture(scope="session")
def farm(request):
    """The lab with two Xen hosts, and the guests in it."""
    joined = request.config.getoption("--lab")

    def start() -> Lab:
        # Each process of a parallel run has hosts of its own.
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        return Lab(CLONE / "build" / f"lab-tests{worker and '-'}{worker}").start()

    farm = Farm(Lab.join(joined)) if joined else Farm(start(), restart=start)
    request.config.stash[FARM] = farm
    yield farm
    del request.config.stash[FARM]
    if joined:
        farm.end_all()
    else:
        farm.lab.stop()


@pytest.fixture
def lab(farm):
    """The two hosts."""
    return farm.lab


@pytest.fixture(scope="session")
def times(request):
    """How often something is repeated: the first number in the everyday run, the second with --thorough."""
    thorough = request.config.getoption("thorough")
    return lambda everyday, all: all if thorough else everyday


@pytest.fixture(scope="session")
def kind(request):
    """The type of the guest."""
    return request.param


@pytest.fixture(autouse=True)
def checked_logs(request):
    """Begins a test's share of the logs; ends all guests after a failure, so that the next test gets fresh ones."""
    if "farm" not in request.fixturenames:
        yield
        return
    farm = request.getfixturevalue("farm")
    farm.begin()
    yield
    if request.node.stash.get(FAILED, False):
        farm.end_all()
        farm.book.news(farm.log_files())


@pytest.fixture(scope="session")
def stock_hypervisor(farm):
    """Whether Xen is the packaged one, which lacks shadow paging."""
    return (farm.lab.images.hypervisor.parent / "stock").exists()


@pytest.fixture
def shared_guest(farm, kind):
    """Gives the guest that the tests of a type share: root and two data disks (xen-blkback and QEMU), two cards."""
    return lambda **options: farm.get("full", kind, disks=data_disks(), vifs=2, **options)


@pytest.fixture
def guest(shared_guest):
    """The shared guest, on the first host."""
    return shared_guest()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test of the lab; bad lines in any log fail it too."""
    if "farm" not in pyfuncitem.fixturenames:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    pyfuncitem.obj(**arguments)
    complaints = pyfuncitem.funcargs["farm"].complaints()
    if complaints:
        pytest.fail("bad lines in the logs:\n" + "\n".join(complaints[:40]), pytrace=False)
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    item.stash[FAILED] = True
    farm = item.config.stash.get(FARM, None)
    if farm:
        folder = LOGS / re.sub(r"[^\w.-]+", "_", item.nodeid.split("/")[-1].split("@")[0])
        shutil.rmtree(folder, ignore_errors=True)
        farm.keep_logs(folder)
        (folder / "failure").write_text(report.longreprtext)
        report.sections.append(("logs", f"kept in {folder}"))
