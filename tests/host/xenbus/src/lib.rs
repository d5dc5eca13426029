// SPDX-License-Identifier: GPL-2.0

//! The very files of xenbus/ that the module compiles, without the kernel: `core` is all they may use.

#![no_std]
#![forbid(unsafe_code)]

#[path = "../../../../xenbus/platform/decision.rs"]
pub mod decision;
#[path = "../../../../xenbus/ring/indices.rs"]
pub mod indices;
#[path = "../../../../xenbus/bus/state.rs"]
pub mod state;
#[path = "../../../../xenbus/store/value.rs"]
pub mod value;
