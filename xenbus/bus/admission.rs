// SPDX-License-Identifier: GPL-2.0

//! How often a backend may have its frontend connect anew: pure, tested on the build machine.
//!
//! A backend that closes and comes back is welcome, whoever restarted it. One that does so without end would keep the
//! guest busy, and fill its log. The connection that a refused device asks for by itself, after a pause, is the one that the
//! pause allows for.

/// Connections without a pause in between.
pub const BURST: u32 = 8;

/// After how many milliseconds there may be one more.
pub const PAUSE_MS: u64 = 10_000;

/// The connections that a backend has left.
#[derive(Debug)]
pub struct Admission {
    left: u32,
    /// Until when `left` was reckoned, in milliseconds.
    since: u64,
}

impl Default for Admission {
    fn default() -> Self {
        Self::new()
    }
}

impl Admission {
    /// All of them.
    pub const fn new() -> Self {
        Self {
            left: BURST,
            since: 0,
        }
    }

    /// Whether there may be one at this time, in milliseconds of any clock that does not go back; it counts then.
    pub fn admit(&mut self, now: u64) -> bool {
        let pauses = now.saturating_sub(self.since) / PAUSE_MS;
        let left = u64::from(self.left).saturating_add(pauses);
        if left >= u64::from(BURST) {
            self.left = BURST;
            self.since = now;
        } else {
            self.left = left as u32;
            self.since = self.since.saturating_add(pauses.saturating_mul(PAUSE_MS));
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}
