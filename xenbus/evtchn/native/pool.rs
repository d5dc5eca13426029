// SPDX-License-Identifier: GPL-2.0

//! All lines, and who has them.

use super::{
    line::Line,
    Events, //
};
use kernel::{
    new_mutex,
    page::Page,
    prelude::*,
    sync::Mutex, //
};
use rxen_bindings as bindings;

/// All lines, and the pages of the event array. Its lock is held by who binds or unbinds a port.
pub(super) struct Pool {
    pub(super) pages: KVec<Page>,
    lines: KVec<Pin<KBox<Line>>>,
    // Those that are free; has room for all.
    free: KVec<Free>,
}

/// A line that is free.
struct Free {
    // Its place in the pool.
    index: usize,
    // The grace period after which no upcall is on its way to it any more; [`None`] when that is over.
    grace: Option<c_ulong>,
}

impl Pool {
    /// No lines yet.
    pub(super) fn new() -> impl PinInit<Mutex<Self>> {
        new_mutex!(Self {
            pages: KVec::new(),
            lines: KVec::new(),
            free: KVec::new(),
        })
    }

    /// Takes a line that is free, or makes one, with an interrupt that was nobody's before.
    pub(super) fn take(&mut self, events: &'static Events) -> Result<(usize, &'static Line)> {
        self.clean();
        if !self.free.iter().any(|free| free.grace.is_none()) {
            let index = self.lines.len();
            self.free.reserve(index + 1, GFP_KERNEL)?;
            self.lines.push(Line::new(events)?, GFP_KERNEL)?;
            let new = Free { index, grace: None };
            let _ = self.free.push_within_capacity(new);
        }
        let position = self.free.iter().position(|free| free.grace.is_none());
        let at = position.ok_or(ENOMEM)?;
        let index = self.free.get(at).ok_or(ENOMEM)?.index;
        let line: *const Line = &raw const **self.lines.get(index).ok_or(ENOMEM)?;
        // SAFETY: Lines are not freed before native event channels end, when nobody has one any more.
        let line = unsafe { &*line };
        line.equip()?;
        let _ = self.free.remove(at);
        Ok((index, line))
    }

    /// Takes a line back that no port is bound to any more.
    pub(super) fn give_back(&mut self, index: usize) {
        let free = Free {
            index,
            // SAFETY: No requirements.
            grace: Some(unsafe { bindings::start_poll_synchronize_rcu() }),
        };
        let _ = self.free.push_within_capacity(free);
        self.clean();
    }

    /// Gives back the interrupts of free lines whose grace period is over.
    fn clean(&mut self) {
        for free in &mut self.free {
            // SAFETY: No requirements.
            let over = |grace| unsafe { bindings::poll_state_synchronize_rcu(grace) };
            if free.grace.is_some_and(over) {
                free.grace = None;
                if let Some(line) = self.lines.get(free.index) {
                    line.strip();
                }
            }
        }
    }

    /// Those that are in use.
    pub(super) fn used(&self) -> impl Iterator<Item = &Line> {
        let lines = self.lines.iter().enumerate();
        lines
            .filter(|(index, _)| !self.free.iter().any(|free| free.index == *index))
            .map(|(_, line)| &**line)
    }

    /// How many are in use.
    pub(super) fn in_use(&self) -> usize {
        self.lines.len() - self.free.len()
    }
}
