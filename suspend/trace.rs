// SPDX-License-Identifier: GPL-2.0

//! The tracepoint `rxen:rxen_suspend_phase`.

use crate::phases::Phase;
use kernel::prelude::*;
use rxen_bindings as bindings;

/// A phase has run. Any context.
pub(crate) fn phase(phase: Phase, nanoseconds: u64, failed: bool) {
    // SAFETY: The name ends with a NUL.
    unsafe { bindings::rxen_suspend_trace(phase.c_name().as_char_ptr(), nanoseconds, failed) }
}
