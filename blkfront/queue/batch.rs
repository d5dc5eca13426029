// SPDX-License-Identifier: GPL-2.0

//! A few values that are collected under a lock and used without it, on the stack.

use crate::connection::DEPTH;

/// As many values as there are tags, at the most.
pub(super) struct Batch<T> {
    values: [Option<T>; DEPTH as usize],
    length: usize,
}

impl<T> Batch<T> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            values: [const { None }; DEPTH as usize],
            length: 0,
        }
    }

    /// Adds one. Where there is no room, which cannot be with one value for each tag, it is dropped.
    pub(super) fn push(&mut self, value: T) {
        if let Some(place) = self.values.get_mut(self.length) {
            *place = Some(value);
            self.length += 1;
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Uses all, in the order in which they were added.
    pub(super) fn for_each(self, use_one: impl FnMut(T)) {
        self.values.into_iter().flatten().for_each(use_one)
    }
}
