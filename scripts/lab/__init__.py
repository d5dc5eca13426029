# SPDX-License-Identifier: GPL-2.0
"""The lab: real Xen hosts in QEMU on a machine without hardware virtualisation, and guests in them.

    host.py     one QEMU process = one Xen host, with commands in its dom0
    guest.py    one guest: life cycle, devices, commands in it
    pair.py     two hosts with a common network and common disks
    images.py   what they boot
    logs.py     what a log must not contain
"""
