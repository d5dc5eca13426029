// SPDX-License-Identifier: GPL-2.0

//! The very files of blkfront/ that the module compiles, without the kernel: `core` is all they may use.

#![no_std]
#![forbid(unsafe_code)]

#[path = "../../../../blkfront/naming.rs"]
pub mod naming;
#[path = "../../../../blkfront/negotiate.rs"]
pub mod negotiate;
#[path = "../../../../blkfront/wire.rs"]
pub mod wire;
