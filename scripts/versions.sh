# SPDX-License-Identifier: GPL-2.0
# Every version the build and the lab depend on, in one place. Sourced by the scripts; nothing here runs anything.
# shellcheck shell=sh disable=SC2034

# The Debian release that the toolchain, dom0 and the guests come from.
DEBIAN_SUITE=trixie

# First target: the stock kernel of trixie-backports. Old versions stay in the archive, so the pin keeps working.
KERNEL_RELEASE=7.3.4+deb13-amd64
KERNEL_SOURCE_PACKAGE=linux-source-7.3
# The compiler that Debian built that kernel with (`CONFIG_CC_VERSION_TEXT`).
KERNEL_CC=x86_64-linux-gnu-gcc-14

# Symbol names of Rust modules depend on the compiler's version: it must be the kernel's own.
RUSTC_VERSION=1.85.1
LLVM_MAJOR=19

# The hypervisor and its tools.
XEN_VERSION=4.20
