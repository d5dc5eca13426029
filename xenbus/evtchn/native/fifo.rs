// SPDX-License-Identifier: GPL-2.0

//! The FIFO ABI: pure, tested on the build machine.
//!
//! Each port has a 32-bit word in an array of pages. A port with an event that is not masked is linked, by the
//! hypervisor, to the end of one of the queues of the virtual CPU that the port is bound to: the word of the port before
//! it has its number. The guest takes ports off the head of a queue. `xen/include/public/event_channel.h` and the
//! document "FIFO-based Event Channel ABI" describe it.

use super::shared::{
    Shared,
    Unmasked, //
};

/// There is an event.
pub const PENDING: u32 = 1 << 31;
/// No event is to be raised.
pub const MASKED: u32 = 1 << 30;
/// The port is in a queue.
pub const LINKED: u32 = 1 << 29;
/// The hypervisor is changing the link; unmasking has to wait.
pub const BUSY: u32 = 1 << 28;
/// The port that follows in the queue, 0 at its end.
pub const LINK: u32 = (1 << 17) - 1;

/// Queues of a virtual CPU, by priority. 0 is served first.
pub const QUEUES: usize = 16;
/// Ports that there can be.
pub const PORTS: u32 = 1 << 17;

/// How often unmasking is tried while the hypervisor changes the word. It needs no more than a handful of changes.
const TRIES: u32 = 16;

/// Unmasks a port, unless it has an event.
pub fn unmask(word: &impl Shared<u32>) -> Unmasked {
    let mut seen = word.load();
    for _ in 0..TRIES {
        if seen & MASKED == 0 {
            return Unmasked::Yes;
        }
        if seen & PENDING != 0 {
            break;
        }
        let expected = seen & !BUSY;
        match word.exchange(expected, expected & !MASKED) {
            Ok(()) => return Unmasked::Yes,
            Err(now) => seen = now,
        }
    }
    Unmasked::ByHypervisor
}

/// The memory of one virtual CPU's queues.
pub trait Memory {
    /// A word of it.
    type Word: Shared<u32>;

    /// The bits of the queues that have something at a new head.
    fn ready(&self) -> &Self::Word;

    /// The new head of a queue.
    fn head(&self, queue: usize) -> Option<&Self::Word>;

    /// The word of a port; [`None`] if there is no such port.
    fn port(&self, port: u32) -> Option<&Self::Word>;
}

/// What the head of a queue was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A port with an event.
    Event(u32),
    /// A port whose event is gone or masked by now. Unmasking raises it anew.
    Idle(u32),
    /// Not a port: the queue was given up.
    Bad(u32),
}

/// Where a virtual CPU is in its queues.
#[derive(Debug, Default)]
pub struct Queues {
    ready: u32,
    // 0: the next is at the head in memory.
    heads: [u32; QUEUES],
}

impl Queues {
    /// All at their heads in memory.
    pub const fn new() -> Self {
        Self {
            ready: 0,
            heads: [0; QUEUES],
        }
    }

    /// Takes the next port off the queue that comes first; [`None`] when all are empty.
    pub fn take<M: Memory>(&mut self, memory: &M) -> Option<Taken> {
        // Each time anew: a queue of higher priority goes first.
        self.ready |= memory.ready().swap(0) & ((1 << QUEUES) - 1);
        if self.ready == 0 {
            return None;
        }
        let queue = self.ready.trailing_zeros();
        let index = queue as usize;
        let next = self.heads.get_mut(index)?;
        if *next == 0 {
            *next = memory.head(index)?.load();
        }
        let port = *next;
        let word = if port == 0 { None } else { memory.port(port) };
        let Some(word) = word else {
            *next = 0;
            self.ready &= !(1 << queue);
            return Some(Taken::Bad(port));
        };
        // From here on the hypervisor may link the port again.
        let old = word.clear(LINKED | LINK);
        *next = old & LINK;
        if *next == 0 {
            self.ready &= !(1 << queue);
        }
        Some(if old & (PENDING | MASKED) == PENDING {
            Taken::Event(port)
        } else {
            Taken::Idle(port)
        })
    }
}
