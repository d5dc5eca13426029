// SPDX-License-Identifier: GPL-2.0

//! The index arithmetic of xenstore's ring (`docs/misc/xenstore-ring.txt` of Xen): pure, tested on the build machine.
//!
//! Two streams of bytes, one in each direction, each with a buffer of [`SIZE`] bytes. The indices run freely over 32
//! bits and start anywhere; the byte with index `x` lies at `x` modulo [`SIZE`]. Each end keeps its own index to itself
//! and looks at the shared copy only to see whether somebody has changed it. The other end's index may only move
//! forward, and only over bytes that are there.

/// Bytes of one direction's buffer.
pub const SIZE: u32 = 1024;

/// An index of the ring cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// The other end's.
    Theirs {
        /// The index before.
        before: u32,
        /// What it claims now.
        claimed: u32,
    },
    /// Ours, which only we may write.
    Ours {
        /// What we wrote.
        wrote: u32,
        /// What it is now.
        found: u32,
    },
}

/// Bytes of a buffer in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where they begin.
    pub offset: usize,
    /// How many they are, at least one.
    pub length: usize,
}

impl Span {
    /// The first piece of `length` bytes from an index on.
    fn new(index: u32, length: u32) -> Option<Self> {
        let offset = index % SIZE;
        let length = length.min(SIZE - offset);
        (length > 0).then_some(Self {
            offset: offset as usize,
            length: length as usize,
        })
    }
}

/// The two indices of one direction.
///
/// # Invariants
///
/// `produced - consumed <= SIZE`.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    consumed: u32,
    produced: u32,
}

impl Window {
    /// From what is in the ring.
    fn new(consumed: u32, produced: u32) -> Result<Self, Corrupt> {
        if produced.wrapping_sub(consumed) > SIZE {
            return Err(Corrupt::Theirs {
                before: consumed,
                claimed: produced,
            });
        }
        // INVARIANT: Just checked.
        Ok(Self { consumed, produced })
    }

    /// Bytes that are there and not consumed.
    fn used(&self) -> u32 {
        self.produced.wrapping_sub(self.consumed)
    }
}

/// Compares an index of ours with its shared copy.
fn check_own(wrote: u32, found: u32) -> Result<(), Corrupt> {
    if wrote == found {
        Ok(())
    } else {
        Err(Corrupt::Ours { wrote, found })
    }
}

/// The direction in which this end writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing(Window);

impl Outgoing {
    /// Goes on where the ring stands.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the indices are further apart than the ring is long.
    pub fn attach(consumer: u32, producer: u32) -> Result<Self, Corrupt> {
        Window::new(consumer, producer).map(Self)
    }

    /// Where the next bytes may be written, given the two indices that are in the ring now; [`None`] if it is full.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if an index is not where it can be.
    pub fn room(&mut self, consumer: u32, producer: u32) -> Result<Option<Span>, Corrupt> {
        let window = &mut self.0;
        check_own(window.produced, producer)?;
        if consumer.wrapping_sub(window.consumed) > window.used() {
            return Err(Corrupt::Theirs {
                before: window.consumed,
                claimed: consumer,
            });
        }
        // INVARIANT: Not further than what was produced.
        window.consumed = consumer;
        Ok(Span::new(window.produced, SIZE - window.used()))
    }

    /// Bytes were written, not more than there was room for; returns the index to publish.
    pub fn wrote(&mut self, length: usize) -> u32 {
        let window = &mut self.0;
        // INVARIANT: Not further than there is room.
        let length = (length as u32).min(SIZE - window.used());
        window.produced = window.produced.wrapping_add(length);
        window.produced
    }
}

/// The direction in which this end reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Incoming(Window);

impl Incoming {
    /// Goes on where the ring stands.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the indices are further apart than the ring is long.
    pub fn attach(consumer: u32, producer: u32) -> Result<Self, Corrupt> {
        Window::new(consumer, producer).map(Self)
    }

    /// Where the next bytes lie, given the two indices that are in the ring now; [`None`] if there are none.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if an index is not where it can be.
    pub fn data(&mut self, consumer: u32, producer: u32) -> Result<Option<Span>, Corrupt> {
        let window = &mut self.0;
        check_own(window.consumed, consumer)?;
        if producer.wrapping_sub(window.produced) > SIZE - window.used() {
            return Err(Corrupt::Theirs {
                before: window.produced,
                claimed: producer,
            });
        }
        // INVARIANT: Not further than there was room.
        window.produced = producer;
        Ok(Span::new(window.consumed, window.used()))
    }

    /// All that there was is taken as read; returns the index to publish.
    pub fn skip(&mut self) -> u32 {
        let window = &mut self.0;
        // INVARIANT: None left.
        window.consumed = window.produced;
        window.consumed
    }

    /// Bytes were read, not more than there were; returns the index to publish.
    pub fn read(&mut self, length: usize) -> u32 {
        let window = &mut self.0;
        // INVARIANT: Not further than there is data.
        let length = (length as u32).min(window.used());
        window.consumed = window.consumed.wrapping_add(length);
        window.consumed
    }
}
