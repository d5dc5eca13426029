# SPDX-License-Identifier: GPL-2.0
"""What fio does: several lanes, each a part of the disk that is written and read back in rounds.

All rounds are jobs of one fio, each waiting for the one before it: fio's start takes many seconds in an emulated guest, and
a start between the rounds would look like a pause of the disk. A round that begins when the stop file is there does nothing,
so every round that wrote has also verified.
"""

# Moderate, so that the live migration converges on an emulated processor.
LANES = 2
LANE_MIB = 6
RATE = 500_000
# About 24 s each: more than any migration needs.
ROUNDS = 20

# The part of the disk behind the lanes: written on the first host, read back on the second.
KEPT_MIB = 8

# fio's default clock is the TSC, which is another one after a migration.
GLOBAL = """[global]
filename=/dev/{disk}
ioengine=libaio
direct=1
iodepth=4
thread=1
verify=crc32c
verify_fatal=1
verify_state_save=0
clocksource=clock_gettime
"""
LANE_GLOBAL = """rw=randwrite
bs=32k
fsync=16
rate={rate},{rate}
do_verify=1
log_alternate_epoch=1
log_alternate_epoch_clock_id=1
exec_prerun=test ! -e {stop}
"""


def round_job(lane: int, number: int) -> str:
    """One round. Its own seed, which each block's header carries, makes what an earlier round wrote an error.

    The first round of every other lane is half as long, so that not all of them change to reading at the same time."""
    size = LANE_MIB // 2 if number == 1 and lane % 2 else LANE_MIB
    lines = [f"[lane{lane}-{number}]", f"offset={lane * LANE_MIB}m", f"size={size}m", f"randseed={lane * 1000 + number}",
             f"write_bw_log=lane{lane}-{number}"]  # fmt: skip
    if number > 1:
        lines.append(f"wait_for=lane{lane}-{number - 1}")
    return "\n".join(lines) + "\n"


def lanes_job(disk: str, stop: str) -> str:
    """The job file of all lanes."""
    rounds = [round_job(lane, number) for lane in range(LANES) for number in range(1, ROUNDS + 1)]
    return GLOBAL.format(disk=disk) + LANE_GLOBAL.format(rate=RATE, stop=stop) + "".join(rounds)


def kept_job(disk: str, option: str) -> str:
    """The job file of the kept part; `option` is do_verify=0 (only write) or verify_only=1 (only read)."""
    start = LANES * LANE_MIB
    lines = ["[kept]", "rw=write", "bs=64k", f"offset={start}m", f"size={KEPT_MIB}m", "randseed=77", option]
    return GLOBAL.format(disk=disk) + "\n".join(lines) + "\n"
