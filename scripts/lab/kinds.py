# SPDX-License-Identifier: GPL-2.0
"""The kinds of guests: how Xen runs them, with which kernel, and whose Xen core is at work in them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`type` is xl's. `kernel`: the stock one, or a kind of scripts/setup-own-kernel. A `native` guest has no C Xen core, so
    it has neither a Xen console nor a device before our modules run: its consoles are emulated. `memory` in MiB is the least
    that its tests need, `patience` what time limits are multiplied by."""

    type: str
    kernel: str = "stock"
    native: bool = False
    cmdline: str = ""
    memory: int = 256
    patience: int = 1


KINDS = {
    # A PV guest on this processor model maps an address that it does not have in this initcall, and panics.
    "pv": Kind("pv", cmdline="initcall_blacklist=print_s5_reset_status_mmio"),
    "pvh": Kind("pvh"),
    "hvm": Kind("hvm"),
    "hvm-native": Kind("hvm", native=True, cmdline="nopv"),
    "noxen-native": Kind("hvm", kernel="noxen", native=True),
    "debug-native": Kind(
        "hvm", kernel="debug", native=True, cmdline="kunit.enable=1 kunit.autorun=1", memory=640, patience=5
    ),
    # Our modules are part of this kernel.
    "builtin": Kind("pvh", kernel="builtin"),
}
HOSTED = ["pvh", "pv", "hvm"]
NATIVE = ["hvm-native", "noxen-native"]
# Those without a C Xen core, for tests that are only about ours.
NATIVE_KINDS = [name for name, kind in KINDS.items() if kind.native]
