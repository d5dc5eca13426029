# SPDX-License-Identifier: GPL-2.0
"""xenstore in a guest whose client is ours: /dev/xen/xenbus, with the tools of the distribution and without."""

import re
import time

import pytest
from farm import xenstore
from lab.kinds import NATIVE_KINDS

pytestmark = pytest.mark.kinds(*NATIVE_KINDS)

# A few requests of the wire protocol on the device file, which no tool of the guest can do.
STORE = r"""
import os, struct, sys
class Store:
    def __init__(self):
        self.file = os.open("/dev/xen/xenbus", os.O_RDWR)
        self.number = 0
    def send(self, kind, *parts, transaction=0):
        self.number += 1
        payload = b"".join(parts)
        os.write(self.file, struct.pack("<IIII", kind, self.number, transaction, len(payload)) + payload)
        while True:
            kind_back, number, _, size = struct.unpack("<IIII", self.take(16))
            payload = self.take(size)
            if kind_back != WATCH_EVENT:
                assert number == self.number, (number, self.number)
                return (OK, payload) if kind_back == kind else (ERROR, payload.rstrip(b"\0").decode())
    def take(self, size):
        data = b""
        while len(data) < size:
            more = os.read(self.file, size - len(data))
            assert more, "end of file"
            data += more
        return data
OK, ERROR = "ok", "error"
DIRECTORY, READ, START, END, WRITE, RM, WATCH_EVENT = 1, 2, 6, 7, 11, 13, 15
"""


def in_python(guest, script: str, timeout: float = 60) -> str:
    """What a script of the guest's Python prints."""
    return guest.run(f"cat >/run/store.py <<'END'\n{STORE}\n{script}\nEND\npython3 /run/store.py", timeout).check().out


@pytest.mark.each_kind
def test_xenstore_tools(guest):
    script = """set -e
    xenstore-ls device
    xenstore-write data/tools "a value" && xenstore-read data/tools
    xenstore-list data
    xenstore-rm data/tools
    ! xenstore-read data/tools 2>&1
    ! xenstore-write /local/domain/0/mine 1 2>&1"""
    out = guest.run(script).check().out
    assert re.search(r'^ 51712 = ""\n(  .*\n)*?  state = "4"', out, re.M), out
    assert re.search(r"^a value$", out, re.M)
    assert re.search(r"^tools$", out, re.M)
    assert "couldn't read path data/tools" in out
    assert "could not write path /local/domain/0/mine" in out


@pytest.mark.each_kind
def test_xenstore_watch(guest):
    """A watch of a program in the guest, with writes from both sides."""
    job = guest.start("xenstore-write data/watched 0; timeout 50 xenstore-watch -n 4 data/watched; echo watch ended with $?")
    for _ in range(100):
        job.poll()
        if "data/watched" in job.output:
            break
        time.sleep(0.1)
    xenstore(guest.host, guest, "data/watched", "1")
    guest.run("xenstore-write data/watched/below 2").check()
    xenstore(guest.host, guest, "data/watched/below", "3")
    out = job.wait(60).check().out
    assert "watch ended with 0" in out
    assert out.count("data/watched/below") == 2, out


@pytest.mark.each_kind
def test_xenstore_transactions(guest):
    """One is committed, one aborted, and one loses against another program."""
    out = in_python(guest, """
one, other = Store(), Store()
def value():
    return other.send(READ, b"data/counter\\0")
def begin(store):
    state, number = store.send(START, b"\\0")
    assert state == OK, number
    return int(number.rstrip(b"\\0"))
assert one.send(WRITE, b"data/counter\\0", b"0")[0] == OK
number = begin(one)
assert one.send(WRITE, b"data/counter\\0", b"1", transaction=number)[0] == OK
assert value() == (OK, b"0"), value()
assert one.send(END, b"T\\0", transaction=number)[0] == OK
assert value() == (OK, b"1"), value()
number = begin(one)
assert one.send(WRITE, b"data/counter\\0", b"2", transaction=number)[0] == OK
assert one.send(END, b"F\\0", transaction=number)[0] == OK
assert value() == (OK, b"1"), value()
number = begin(one)
assert one.send(READ, b"data/counter\\0", transaction=number) == (OK, b"1")
assert one.send(WRITE, b"data/counter\\0", b"3", transaction=number)[0] == OK
assert other.send(WRITE, b"data/counter\\0", b"9")[0] == OK
print("conflict:", one.send(END, b"T\\0", transaction=number))
assert value() == (OK, b"9"), value()
# What a program leaves open ends with it.
for _ in range(40):
    left = Store()
    begin(left)
    os.close(left.file)
begin(one)
print("done")
""")  # fmt: skip
    assert "conflict: ('error', 'EAGAIN')" in out
    assert "done" in out


@pytest.mark.each_kind
def test_xenstore_bad_requests(guest):
    """What a program writes wrongly is its own trouble: the next one is served."""
    out = in_python(guest, """
def attempt(data):
    store = Store()
    try:
        os.write(store.file, data)
    except OSError as error:
        print("refused:", error.strerror)
    os.close(store.file)
attempt(struct.pack("<IIII", READ, 1, 0, 5000) + b"x" * 100)
attempt(struct.pack("<IIII", READ, 1, 0, 0xFFFFFFFF))
attempt(struct.pack("<IIII", 9999, 1, 0, 2) + b"x\\0")
attempt(b"\\1\\0\\0")
attempt(struct.pack("<IIII", READ, 1, 77, 9) + b"data/no\\0\\0")
print(Store().send(READ, b"data/none\\0"))
""")  # fmt: skip
    assert "('error', 'ENOENT')" in out


def test_xenstore_by_many_programs_at_once(guest):
    script = """cat >/run/many.sh <<'END'
    for n in $(seq 12); do
        xenstore-write data/many/$1 $n || exit 1
        [ "$(xenstore-read data/many/$1)" = $n ] || exit 1
    done
    echo done $1
END
    for k in $(seq 8); do bash /run/many.sh $k & done; wait; xenstore-rm data/many"""
    out = guest.run(script, timeout=300).check().out
    assert sorted(re.findall(r"done (\d)", out)) == [str(k) for k in range(1, 9)]


def test_long_directory(guest):
    """More names than a message holds. The toolstack makes them: a guest's own nodes must not be that large."""
    domid = guest.host.run(f"xl domid {guest.name}").check().out.strip()
    folder = f"/local/domain/{domid}/data/long"
    make = f"for n in $(seq 400); do echo {folder}/a-rather-long-name-of-a-node-$n v; done | xargs -n 200 xenstore-write"
    guest.host.run(make, timeout=120).check()
    try:
        out = guest.run("xenstore-list data/long | sort -u | wc -l; xenstore-ls data/long | grep -c '^a-rather.* = \"v\"'", timeout=120).check().out
    finally:
        guest.host.run(f"xenstore-rm {folder}").check()
    assert out.split() == ["400", "400"]
