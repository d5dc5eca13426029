// SPDX-License-Identifier: GPL-2.0

//! The very files of netfront/ that the module compiles, without the kernel: `core` is all they may use.

#![no_std]
#![forbid(unsafe_code)]

#[path = "../../../../netfront/negotiate.rs"]
pub mod negotiate;
#[path = "../../../../netfront/parser.rs"]
pub mod parser;
#[path = "../../../../netfront/wire.rs"]
pub mod wire;
