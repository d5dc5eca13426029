// SPDX-License-Identifier: GPL-2.0

//! The grant table of the native mode: free references, and how an access ends.

mod entry;
mod free_list;
mod limit;
mod races;
mod version;
mod wish;
