// SPDX-License-Identifier: GPL-2.0

//! What xenstored writes, for libFuzzer.

#![no_main]

#[path = "../xenstore.rs"]
mod xenstore;

libfuzzer_sys::fuzz_target!(|data: &[u8]| xenstore::run(data));
