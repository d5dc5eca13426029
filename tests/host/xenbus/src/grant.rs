// SPDX-License-Identifier: GPL-2.0

//! The grant table of the native mode.

#[path = "../../../../xenbus/grant/native/entry.rs"]
pub mod entry;
#[path = "../../../../xenbus/grant/native/free_list.rs"]
pub mod free_list;
#[path = "../../../../xenbus/grant/limit.rs"]
pub mod limit;
#[path = "../../../../xenbus/grant/native/version.rs"]
pub mod version;
#[path = "../../../../xenbus/grant/faults/wish.rs"]
pub mod wish;
pub mod words;
