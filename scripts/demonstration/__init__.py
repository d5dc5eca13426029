# SPDX-License-Identifier: GPL-2.0
"""The main job, for real: a guest on our modules moves to another host under load, and nothing is lost.

    run.py        one guest from its creation to the end of its load
    workload.py   what runs in the guest and in dom0 meanwhile; inside/ holds those programs
    fio.py        what fio does on the disk
    clock.py      the guest's time and the outside time
    collected.py  what the programs wrote, read back
    checks.py     what must hold
    report.py     the table
    timeline.py   the picture
    progress.py   what happens now, and since when
"""
