// SPDX-License-Identifier: GPL-2.0

//! A few values that are collected under a lock and used without it, on the stack.

/// Up to `N` values.
pub(super) struct Batch<T, const N: usize> {
    values: [Option<T>; N],
    length: usize,
}

impl<T, const N: usize> Batch<T, N> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            values: [const { None }; N],
            length: 0,
        }
    }

    /// Adds one. Where there is no room, it is dropped: look first.
    pub(super) fn push(&mut self, value: T) {
        if let Some(place) = self.values.get_mut(self.length) {
            *place = Some(value);
            self.length += 1;
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether there is no room for another one.
    pub(super) fn is_full(&self) -> bool {
        self.length >= N
    }

    /// Uses all, in the order in which they were added.
    pub(super) fn for_each(self, use_one: impl FnMut(T)) {
        self.values.into_iter().flatten().for_each(use_one)
    }
}
