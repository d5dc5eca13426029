// SPDX-License-Identifier: GPL-2.0

//! The very files of suspend/ that the module compiles, without the kernel: `core` is all they may use.

#![no_std]
#![forbid(unsafe_code)]

#[path = "../../../../suspend/fault.rs"]
pub mod fault;
#[path = "../../../../suspend/phases.rs"]
pub mod phases;
#[path = "../../../../suspend/recent.rs"]
pub mod recent;
#[path = "../../../../suspend/request.rs"]
pub mod request;
