# SPDX-License-Identifier: GPL-2.0
"""The log checker itself: what it must find, and what it must let pass."""

import pytest
from lab.logs import LogBook, problems

BAD = [
    "[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "[   12.345678] kernel BUG at block/blk-mq.c:123!",
    "[   12.345678] WARNING: CPU: 0 PID: 31 at kernel/softirq.c:362 __local_bh_enable_ip+0x6b/0xa0",
    "[   12.345678] WARNING: kernel/softirq.c:362 at __local_bh_enable_ip+0x6b/0xa0, CPU#0: fio/31",
    "[   12.345678] ------------[ cut here ]------------",
    "[   12.345678] Oops: Oops: 0002 [#1] SMP NOPTI",
    "[   12.345678] Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1]",
    "[   12.345678] Call Trace:",
    "[  242.345678] INFO: task fio:219 blocked for more than 60 seconds.",
    "[   42.345678] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "[   42.345678] rcu: INFO: rcu_preempt self-detected stall on CPU",
    "[   42.345678] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [fio:219]",
    "[    1.000000] WARNING: possible circular locking dependency detected",
    "[    1.000000] WARNING: possible recursive locking detected",
    "[    1.000000] WARNING: inconsistent lock state",
    "[    1.000000] WARNING: suspicious RCU usage",
    "[    1.000000] BUG: sleeping function called from invalid context at kernel/locking/mutex.c:283",
    "[    1.000000] BUG: scheduling while atomic: swapper/0/0/0x00000100",
    "[    1.000000] refcount_t: underflow; use-after-free.",
    "[    1.000000] irq 25: nobody cared (try booting with the \"irqpoll\" option)",
    "[    1.000000] Kernel panic - not syncing: Attempted to kill init!",
    "[    1.000000] python3[99]: segfault at 0 ip 00007f sp 00007f error 4 in libc.so.6[7f+1000]",
    "[    1.000000] EXT4-fs error (device xvda): ext4_lookup:1787: inode #2: comm ls: deleted inode referenced: 12",
    "[    1.000000] rxen_blkfront: Unknown symbol _RNvCs_6rxenbus (err -2)",
    "(XEN) [   61.2] grant_table.c:1134:d0v0 Bad flags (0) or dom (0); expected d0",
    "(XEN) [   61.2] domain_crash called from arch/x86/traps.c:1234",
    "(XEN) [   61.2] Domain 3 (vcpu#0) crashed on cpu#0:",
    "(XEN) [   61.2] Xen BUG at mm.c:1234",
    "(XEN) [   61.2] Assertion 'page->count_info' failed at mm.c:12",
]  # fmt: skip

GOOD = [
    "[    0.000000] Linux version 7.3.4+deb13-amd64 (debian-kernel@lists.debian.org)",
    "[    0.123456] Speculative Store Bypass: Vulnerable",
    "[    1.234567] rxen_blkfront: loading out-of-tree module taints kernel.",
    "[    1.234567] vbd-51712: xvda: 2549760 sectors of 512 bytes, blocks of 512; 32 segments a request; flush yes; discard yes",
    "[   30.000000] I/O error, dev xvdd, sector 8 op 0x1:(WRITE) flags 0x8800 phys_seg 1 prio class 2",
    "~1234:eyJCVUc6IjoiT29wcyJ9:123456789~",
    "~17:poll:eyJqb2IiOiAiNSJ9:99~",
    "(XEN) [    5.1] d1v0 Over-allocation for domain 1",
    "LAB: guest ready at 12.5",
]  # fmt: skip


@pytest.mark.parametrize("line", BAD)
def test_finds(line):
    assert problems(f"{GOOD[0]}\n{line}\r\n{GOOD[1]}\n") == [line]


@pytest.mark.parametrize("line", GOOD)
def test_lets_pass(line):
    assert problems(line + "\n") == []


def test_what_a_test_expects_passes_and_nothing_else():
    text = "\n".join(BAD[:4])
    assert problems(text, (r"kernel BUG at block/blk-mq\.c",)) == [BAD[0], *BAD[2:4]]


def test_log_book_gives_each_line_once(tmp_path):
    log = tmp_path / "console"
    book = LogBook()
    assert book.news([log]) == {}
    log.write_text("one\n")
    assert book.news([log]) == {log: "one\n"}
    with open(log, "a") as file:
        file.write("two\n")
    assert book.news([log]) == {log: "two\n"}
    assert book.news([log]) == {}
    # A console whose file was started anew.
    log.write_text("3\n")
    assert book.news([log]) == {log: "3\n"}
