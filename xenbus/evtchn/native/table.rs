// SPDX-License-Identifier: GPL-2.0

//! Where upcalls find the line of a port.

use super::{
    fifo,
    line::Line, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    }, //
};

/// Lines in a row of the table.
const ROW: usize = 512;
/// Rows of the table.
const ROWS: usize = fifo::PORTS as usize / ROW;

/// A row of the table.
type Row = [Atomic<*const Line>; ROW];

/// The line of each port.
///
/// # Invariants
///
/// Each row that is set stays, as do the lines in it, until native event channels end.
pub(super) struct Table([Atomic<*mut Row>; ROWS]);

impl Table {
    /// No port has a line.
    pub(super) const fn new() -> Self {
        Self([const { Atomic::new(core::ptr::null_mut()) }; ROWS])
    }

    /// The entry of a port, if its row is there.
    #[inline]
    fn entry(&self, port: u32) -> Option<&Atomic<*const Line>> {
        let row = self.0.get(port as usize / ROW)?.load(Acquire);
        // SAFETY: Null or a row by the invariant.
        unsafe { row.as_ref() }?.get(port as usize % ROW)
    }

    /// The line of a port.
    #[inline]
    pub(super) fn get(&self, port: u32) -> Option<&Line> {
        // SAFETY: Null or a line by the invariant.
        unsafe { self.entry(port)?.load(Acquire).as_ref() }
    }

    /// Whether there is room for a port.
    pub(super) fn has_room(&self, port: u32) -> bool {
        self.entry(port).is_some()
    }

    /// Makes room for a port. The caller holds the pool's lock.
    pub(super) fn reach(&self, port: u32) -> Result {
        let row = self.0.get(port as usize / ROW).ok_or(ENOSPC)?;
        if row.load(Relaxed).is_null() {
            let new: KBox<Row> =
                KBox::new([const { Atomic::new(core::ptr::null()) }; ROW], GFP_KERNEL)?;
            row.store(KBox::into_raw(new), Release);
        }
        Ok(())
    }

    /// Sets or clears the line of a port.
    pub(super) fn set(&self, port: u32, line: Option<&'static Line>) {
        if let Some(entry) = self.entry(port) {
            entry.store(line.map_or(core::ptr::null(), core::ptr::from_ref), Release);
        }
    }

    /// Calls `work` for each port that has a line. Any context.
    pub(super) fn each(&self, mut work: impl FnMut(u32, &Line)) {
        for (port, entry) in self.entries() {
            // SAFETY: Null or a line by the invariant.
            if let Some(line) = unsafe { entry.load(Acquire).as_ref() } {
                work(port, line);
            }
        }
    }

    /// The entries that there is room for, with their ports.
    fn entries(&self) -> impl Iterator<Item = (u32, &Atomic<*const Line>)> {
        let rows = (0..).step_by(ROW).zip(&self.0);
        rows.flat_map(|(first, row)| {
            // SAFETY: Null or a row by the invariant.
            let row = unsafe { row.load(Acquire).as_ref() };
            (first..).zip(row.into_iter().flatten())
        })
    }

    /// Takes all ports from their lines after a restore, without touching them. With all other CPUs stopped.
    pub(super) fn forget(&self) {
        for (_, entry) in self.entries() {
            // SAFETY: Null or a line by the invariant.
            if let Some(line) = unsafe { entry.xchg(core::ptr::null(), Relaxed).as_ref() } {
                line.forget();
            }
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for row in &self.0 {
            let row = row.load(Relaxed);
            if !row.is_null() {
                // SAFETY: Made by `reach`; nobody looks anything up any more.
                drop(unsafe { KBox::from_raw(row) });
            }
        }
    }
}
