// SPDX-License-Identifier: GPL-2.0

//! How fast events may come: pure, tested on the build machine.
//!
//! A port stays masked from an event until the end of its interrupt. By putting that end off, a backend is kept from
//! using up a CPU of this guest (XSA-332): for a port whose events are worth nothing, longer each time; for all ports of
//! a CPU, when it has been at events for too long without a break.

/// Spurious events in a row that cost nothing. A backend may well send one: two batches of requests, one event too many.
const FREE: u8 = 1;

/// The back-off of one port.
#[derive(Debug, Default)]
pub struct Backoff {
    in_a_row: u8,
}

impl Backoff {
    /// No spurious event yet.
    pub const fn new() -> Self {
        Self { in_a_row: 0 }
    }

    /// For how many ticks the end of an interrupt is put off, of `second` ticks a second: not at all after one that was
    /// useful, twice as long after each that was not, a second at most.
    pub fn judge(&mut self, spurious: bool, second: u32) -> u32 {
        if !spurious {
            self.in_a_row = 0;
            return 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row <= FREE {
            return 0;
        }
        let doublings = u32::from(self.in_a_row - FREE - 1);
        1u32.checked_shl(doublings).unwrap_or(u32::MAX).min(second)
    }
}

/// Events after which the clock is read.
const CHECK: u32 = 256;

/// How long one upcall has been at events.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    events: u32,
    end: Option<u64>,
    exceeded: bool,
}

impl Budget {
    /// An upcall that is to take `limit` nanoseconds at most.
    pub const fn new(limit: u64) -> Self {
        Self {
            limit,
            events: 0,
            end: None,
            exceeded: false,
        }
    }

    /// Counts an event; true if the ends of this interrupt and all that follow in this upcall are to be put off, so that
    /// it comes to an end. `clock` says the time in nanoseconds; it is only asked now and then, since most upcalls are
    /// short.
    pub fn exceeded(&mut self, clock: impl FnOnce() -> u64) -> bool {
        self.events = self.events.wrapping_add(1);
        if !self.exceeded && self.events % CHECK == 0 {
            let now = clock();
            match self.end {
                None => self.end = Some(now.saturating_add(self.limit)),
                Some(end) => self.exceeded = now > end,
            }
        }
        self.exceeded
    }
}
