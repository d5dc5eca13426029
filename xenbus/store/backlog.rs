// SPDX-License-Identifier: GPL-2.0

//! The events of one watch that its handler has not seen yet: pure, tested on the build machine.
//!
//! A handler may be slow and the events many, so the backlog has an end. Where it is full, further events become one:
//! "something below the watched path has changed". Nothing that matters is lost, because an event says only where to
//! look, and memory stays bounded whatever xenstored sends.

use core::ops::DerefMut;

/// What the handler is told next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// This has changed.
    Changed(T),
    /// More has changed than was kept.
    Overflow,
}

/// The events, oldest first.
///
/// # Invariants
///
/// `count <= places.len()`; the places from `first` on, round the end, are filled, as many as `count` says.
pub struct Backlog<T, S: DerefMut<Target = [Option<T>]>> {
    places: S,
    first: usize,
    count: usize,
    // After all that is in the places.
    overflow: bool,
}

impl<T, S: DerefMut<Target = [Option<T>]>> Backlog<T, S> {
    /// Empty; there is room for as many events as there are places.
    pub fn new(places: S) -> Self {
        // INVARIANT: No place is filled.
        Self {
            places,
            first: 0,
            count: 0,
            overflow: false,
        }
    }

    /// Adds an event; false if it was merged into the one that stands for many.
    pub fn push(&mut self, event: T) -> bool {
        // Once there is an overflow, what comes after it is part of it, or the order would be wrong.
        if self.overflow || self.count == self.places.len() {
            self.overflow = true;
            return false;
        }
        let place = self.round(self.first + self.count);
        if let Some(place) = self.places.get_mut(place) {
            // INVARIANT: The next place is filled, and there was one.
            *place = Some(event);
            self.count += 1;
        }
        true
    }

    /// Notes that an event could not be kept.
    pub fn overflow(&mut self) {
        self.overflow = true;
    }

    /// Takes the oldest event.
    pub fn pop(&mut self) -> Option<Event<T>> {
        if self.count == 0 {
            return core::mem::take(&mut self.overflow).then_some(Event::Overflow);
        }
        let event = self.places.get_mut(self.first).and_then(Option::take);
        // INVARIANT: One filled place less at the front.
        self.first = self.round(self.first + 1);
        self.count -= 1;
        event.map(Event::Changed)
    }

    /// A place, counted on round the end.
    fn round(&self, place: usize) -> usize {
        place.checked_rem(self.places.len()).unwrap_or(0)
    }

    /// Forgets all events.
    pub fn clear(&mut self) {
        while self.pop().is_some() {}
    }
}
