// SPDX-License-Identifier: GPL-2.0

//! A backend that does not answer: an event may have been lost, in either direction.
//!
//! No request fails for this. A backend may be slow, or wait for storage that comes back.

use kernel::time::{
    Delta,
    Instant,
    Monotonic, //
};

/// How far apart reminders are at the least: all requests that are late are found at the same time.
const REMINDER: Delta = Delta::from_secs(1);
/// How far apart lines in the log are at the least.
const LINE: Delta = Delta::from_secs(600);

/// When something was done about it last.
pub(super) struct Overdue {
    reminded: Option<Instant<Monotonic>>,
    told: Option<Instant<Monotonic>>,
    /// Nothing is done now: the device is parked.
    pub(super) quiet: bool,
}

impl Overdue {
    /// Nothing was done yet.
    pub(super) const fn new() -> Self {
        Self {
            reminded: None,
            told: None,
            quiet: false,
        }
    }

    /// Whether the backend is to be reminded now.
    pub(super) fn is_to_be_reminded(&mut self) -> bool {
        is_time(&mut self.reminded, REMINDER)
    }

    /// Whether the log is to have a line about it now.
    pub(super) fn is_to_be_told(&mut self) -> bool {
        is_time(&mut self.told, LINE)
    }
}

/// Whether `last` was so long ago, or never; then it is now.
fn is_time(last: &mut Option<Instant<Monotonic>>, distance: Delta) -> bool {
    let is_time = last.is_none_or(|last| last.elapsed() >= distance);
    if is_time {
        *last = Some(Instant::now());
    }
    is_time
}
