# SPDX-License-Identifier: GPL-2.0
"""What a log of a guest, of dom0 or of the hypervisor must not contain."""

import re
from dataclasses import dataclass, field
from pathlib import Path

BAD = [
    # Linux: failed checks and crashes.
    r"\bBUG: ", r"kernel BUG at", r"\bWARNING: .* (at|CPU:|detected|possible|inconsistent|suspicious)", r"cut here \]", r"\bOops\b",
    r"Call Trace:", r"general protection fault", r"Kernel panic", r"unable to handle", r"Unhandled fault",
    r"(KASAN|KCSAN|KFENCE|UBSAN|KMSAN): ", r"refcount_t: ", r"list_(add|del) corruption", r"Bad page state",
    r"Bad rss-counter", r"stack guard page was hit", r"kernel tried to execute", r"double fault", r"invalid opcode",
    # Linux: what hangs.
    r"blocked for more than", r"hung[_ ]task: ", r"rcu.*(detected|self-detected).*stall", r"rcu.*kthread starved",
    r"soft lockup", r"[Hh]ard LOCKUP", r"workqueue lockup", r"nobody cared", r"NETDEV WATCHDOG",
    # Linux: lockdep and its relatives.
    r"possible circular locking", r"possible recursive locking", r"possible irq lock inversion",
    r"inconsistent lock state", r"suspicious RCU usage", r"held lock freed", r"bad unlock balance",
    r"SOFTIRQ-safe -> SOFTIRQ-unsafe", r"HARDIRQ-safe -> HARDIRQ-unsafe", r"DEBUG_LOCKS_WARN_ON",
    r"scheduling while atomic", r"sleeping function called from invalid context", r"lock held when returning",
    # Linux: programs and data that broke.
    r"segfault at", r"traps: .*(general protection|invalid opcode|trap)", r"EXT4-fs error", r"EXT4-fs.*corrupt",
    # Linux: drivers that did not load cleanly.
    r"Unknown symbol", r"[Uu]nknown relocation", r"version magic",
    # Xen: crashes of a domain or of itself, and frontends that lend what is not theirs.
    r"\(XEN\).*Xen BUG", r"\(XEN\).*Assertion '.*' failed", r"\(XEN\).*Xen call trace", r"\(XEN\).*Panic on CPU",
    r"\(XEN\).*[Dd]omain.*crash", r"\(XEN\).*grant_table\.c.*(Bad|bad|Could not|invalid|Invalid|Fault|released)",
    r"\(XEN\).*watchdog",
]  # fmt: skip

# Lines that look bad and come from the emulated machine, each with the reason. Empty: none was ever needed.
ALLOWED: list[str] = []

# The lab's own messages on a guest's console are base64 and may spell anything.
AGENT_LINE = re.compile(r"^.?~\d+:[\w:+/=]+~?\s*$")
BAD_LINE = re.compile("|".join(f"(?:{pattern})" for pattern in BAD))
ALLOWED_LINE = re.compile("|".join(f"(?:{pattern})" for pattern in ALLOWED)) if ALLOWED else None


def problems(text: str, expected: tuple[str, ...] = ()) -> list[str]:
    """The lines of a log that must not be there. `expected`: patterns of lines that a test causes on purpose."""
    found = []
    for line in text.splitlines():
        if AGENT_LINE.match(line) or not BAD_LINE.search(line):
            continue
        if ALLOWED_LINE and ALLOWED_LINE.search(line):
            continue
        if any(re.search(pattern, line) for pattern in expected):
            continue
        found.append(line.strip())
    return found


@dataclass
class LogBook:
    """Log files that grow; knows how far each was read."""

    positions: dict[Path, int] = field(default_factory=dict)

    def news(self, paths: list[Path]) -> dict[Path, str]:
        """What each file has got since the last call."""
        texts = {}
        for path in paths:
            if not path.exists():
                continue
            with open(path, "rb") as file:
                position = self.positions.get(path, 0)
                if position > path.stat().st_size:
                    position = 0
                file.seek(position)
                data = file.read()
            self.positions[path] = position + len(data)
            if data:
                texts[path] = data.decode(errors="replace")
        return texts
