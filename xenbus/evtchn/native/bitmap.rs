// SPDX-License-Identifier: GPL-2.0

//! The 2-level ABI: pure, tested on the build machine.
//!
//! All ports share one bitmap of events and one of masks. The first level is a word of each virtual CPU, with a bit for
//! each word of the bitmap that may have something for it. Which ports of a word belong to which virtual CPU only the
//! guest knows, so it keeps a bitmap of that for each.

use super::shared::{
    Shared,
    Unmasked, //
};

/// Words of a bitmap.
pub const WORDS: usize = 64;
/// Ports that there can be.
pub const PORTS: u32 = 64 * 64;

/// The word of a port in a bitmap, and its bit there; [`None`] if there is no such port.
#[inline]
pub const fn place(port: u32) -> Option<(usize, u64)> {
    if port >= PORTS {
        return None;
    }
    Some(((port / 64) as usize, 1 << (port % 64)))
}

/// Unmasks a port, unless it has an event. `bit` is the port's in both words.
pub fn unmask<W: Shared<u64>>(pending: &W, mask: &W, bit: u64) -> Unmasked {
    // Mask first: an event that comes in after the second step finds the port unmasked.
    mask.clear(bit);
    if pending.load() & bit == 0 {
        return Unmasked::Yes;
    }
    // The hypervisor raises it only if it finds the port masked.
    mask.set(bit);
    Unmasked::ByHypervisor
}

/// The memory that one virtual CPU's events are in.
pub trait Memory {
    /// A word of it.
    type Word: Shared<u64>;

    /// The words of the bitmap that may have something.
    fn selector(&self) -> &Self::Word;

    /// A word of the events.
    fn pending(&self, word: usize) -> Option<&Self::Word>;

    /// A word of the masks.
    fn mask(&self, word: usize) -> Option<&Self::Word>;

    /// A word of the ports that belong to this virtual CPU.
    fn own(&self, word: usize) -> u64;
}

/// Where a virtual CPU is in the bitmap. It goes on behind the port that was served last, so that a busy port does not
/// starve those above it.
#[derive(Debug, Default)]
pub struct Scan {
    next: u32,
}

impl Scan {
    /// At the first port.
    pub const fn new() -> Self {
        Self { next: 0 }
    }

    /// Calls `event` for each port that has one; returns how many that were.
    pub fn all<M: Memory>(&mut self, memory: &M, mut event: impl FnMut(u32)) -> usize {
        let selected = memory.selector().swap(0);
        if selected == 0 {
            return 0;
        }
        let (first, from) = (self.next / 64 % 64, self.next % 64);
        let upper = u64::MAX << from;
        let mut count = 0;
        // The word that it begins in comes twice: its upper part first, its lower part last.
        for step in 0..=WORDS as u32 {
            let word = (first + step) % 64;
            if selected & (1 << word) == 0 {
                continue;
            }
            let part = match step {
                0 => upper,
                64 => !upper,
                _ => u64::MAX,
            };
            let mut bits = active(memory, word as usize) & part;
            while bits != 0 {
                let port = word * 64 + bits.trailing_zeros();
                bits &= bits - 1;
                self.next = (port + 1) % PORTS;
                event(port);
                count += 1;
            }
        }
        count
    }
}

/// The ports of a word that have an event for this virtual CPU now.
fn active<M: Memory>(memory: &M, word: usize) -> u64 {
    match (memory.pending(word), memory.mask(word)) {
        (Some(pending), Some(mask)) => pending.load() & !mask.load() & memory.own(word),
        _ => 0,
    }
}
