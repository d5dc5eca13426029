// SPDX-License-Identifier: GPL-2.0

//! The latest of many durations, for their median: pure, tested on the build machine.

/// How many are kept.
pub const KEPT: usize = 31;

/// The latest durations of something.
#[derive(Clone, Copy, Debug)]
pub struct Recent {
    values: [u64; KEPT],
    /// How many there are.
    length: usize,
    /// Where the next one goes.
    next: usize,
}

impl Recent {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            values: [0; KEPT],
            length: 0,
            next: 0,
        }
    }

    /// Adds one, in the place of the oldest if need be.
    pub fn add(&mut self, value: u64) {
        if let Some(place) = self.values.get_mut(self.next) {
            *place = value;
        }
        self.next = (self.next + 1) % KEPT;
        self.length = (self.length + 1).min(KEPT);
    }

    /// The one in the middle, the smaller one of two; 0 if there is none.
    pub fn median(&self) -> u64 {
        let values = self.values.get(..self.length).unwrap_or_default();
        let middle = values.len().saturating_sub(1) / 2;
        // By counting, since core's sort has functions that objtool complains about.
        let is_middle = |candidate: &u64| {
            let smaller = values.iter().filter(|value| *value < candidate).count();
            let no_greater = values.iter().filter(|value| *value <= candidate).count();
            (smaller..no_greater).contains(&middle)
        };
        values.iter().copied().find(is_middle).unwrap_or(0)
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self::new()
    }
}
