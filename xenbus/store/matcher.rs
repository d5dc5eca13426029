// SPDX-License-Identifier: GPL-2.0

//! The requests that are waiting: to be sent, and for their reply. Pure, tested on the build machine.
//!
//! Replies come in any order and are matched by the number of the request alone. The numbers count all requests, so that
//! the late reply to a request that was given up meets no other one.

use super::wire::{
    self,
    kind,
    Header,
    HEADER_SIZE, //
};
use core::ops::DerefMut;

/// What a request must tell.
pub trait Request {
    /// The bytes that follow the header.
    fn payload(&self) -> &[u8];
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing of it is in the ring.
    Waiting,
    /// So many bytes of it are in the ring, not all.
    Partly(usize),
    /// All of it is in the ring.
    Sent,
}

/// A place for a request; the default is an empty one.
pub struct Slot<T>(Option<Entry<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(None)
    }
}

struct Entry<T> {
    header: Header,
    request: T,
    progress: Progress,
    // Requests are sent in this order.
    order: u64,
    // In the caller's clock.
    deadline: u64,
    // Nobody waits any more; only here because the ring has a part of it, or because it gives something back and must
    // reach xenstored all the same.
    given_up: bool,
    // Who wanted this end of a transaction was told that it has failed, before any of it was sent: it is an abort now.
    abort: bool,
}

/// What a reply belongs to.
#[derive(Debug, PartialEq, Eq)]
pub enum Match<T> {
    /// This request, and it is of the right type or an error.
    Reply(T),
    /// This request, but of another type.
    WrongType(T),
    /// The opening of a transaction that was given up: the transaction is there, and nobody knows of it.
    Late,
    /// A request that was given up or never made, or of which a part is still to be sent.
    Unknown,
}

/// Why sending stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// There is nothing more to send.
    Done,
    /// The ring is full.
    Full,
}

/// How many late openings of transactions are remembered.
const LATE: usize = 8;

/// The table of requests.
pub struct Matcher<T, S: DerefMut<Target = [Slot<T>]>> {
    slots: S,
    count: u64,
    first_number: u32,
    // The numbers of transactions' openings that were sent and then given up, as long as they may have a reply.
    late: [Option<u32>; LATE],
}

impl<T: Request, S: DerefMut<Target = [Slot<T>]>> Matcher<T, S> {
    /// An empty table. The numbers begin somewhere else with each `first_number`, so that replies to requests of a
    /// former owner of the ring meet nobody.
    pub fn new(slots: S, first_number: u32) -> Self {
        Self {
            slots,
            count: 0,
            first_number,
            late: [None; LATE],
        }
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.entries().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    /// How many requests are in the ring, at least partly, and have no reply.
    pub fn in_flight(&self) -> usize {
        self.entries()
            .filter(|entry| entry.progress != Progress::Waiting)
            .count()
    }

    /// How many of these somebody waits for.
    pub fn awaited(&self) -> usize {
        self.entries()
            .filter(|entry| entry.progress != Progress::Waiting && !entry.given_up)
            .count()
    }

    /// How many requests nobody waits for, which must be sent all the same.
    pub fn given_up(&self) -> usize {
        self.entries().filter(|entry| entry.given_up).count()
    }

    /// How many requests give something back, and nothing of them is sent.
    pub fn unsent_ends(&self) -> usize {
        self.entries()
            .filter(|entry| {
                entry.progress == Progress::Waiting && wire::gives_back(entry.header.kind)
            })
            .count()
    }

    /// Adds a request; its number is in the header that is sent. Gives it back where there is no room.
    pub fn add(
        &mut self,
        kind: u32,
        transaction: u32,
        request: T,
        deadline: u64,
    ) -> Result<u32, T> {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.0.is_none()) else {
            return Err(request);
        };
        let order = self.count;
        self.count += 1;
        let header = Header {
            kind,
            id: self.first_number.wrapping_add(order as u32),
            transaction,
            length: request.payload().len() as u32,
        };
        slot.0 = Some(Entry {
            header,
            request,
            progress: Progress::Waiting,
            order,
            deadline,
            given_up: false,
            abort: false,
        });
        Ok(header.id)
    }

    /// Sends what waits, in order, as long as `write` takes it: it is given bytes and returns how many of them it took.
    /// A request of which a part is sent is always sent to its end; another is only begun where `may_begin` says so of
    /// its header.
    ///
    /// # Errors
    ///
    /// What `write` returns.
    pub fn send<E>(
        &mut self,
        may_begin: impl Fn(&Header) -> bool,
        mut write: impl FnMut(&[u8]) -> Result<usize, E>,
    ) -> Result<Sending, E> {
        while let Some(place) = self.next_to_send(&may_begin) {
            let Some(Slot(Some(entry))) = self.slots.get_mut(place) else {
                break;
            };
            if !entry.send(&mut write)? {
                return Ok(Sending::Full);
            }
            if entry.given_up {
                remember(&mut self.late, &entry.header);
                self.vacate(place);
            }
        }
        Ok(Sending::Done)
    }

    /// The slot of the request that is sent next: the one of which a part is sent, else the oldest that may begin.
    fn next_to_send(&self, may_begin: &impl Fn(&Header) -> bool) -> Option<usize> {
        let mut best: Option<(bool, u64, usize)> = None;
        for (place, slot) in self.slots.iter().enumerate() {
            let Some(entry) = &slot.0 else { continue };
            let fresh = match entry.progress {
                Progress::Partly(_) => false,
                Progress::Waiting if may_begin(&entry.header) => true,
                _ => continue,
            };
            let candidate = (fresh, entry.order, place);
            if best.is_none_or(|best| candidate < best) {
                best = Some(candidate);
            }
        }
        best.map(|(_, _, place)| place)
    }

    /// Takes the request that a reply belongs to.
    pub fn reply(&mut self, reply: &Header) -> Match<T> {
        let belongs = |entry: &Entry<T>| {
            entry.header.id == reply.id && entry.progress == Progress::Sent && !entry.given_up
        };
        let place = self
            .slots
            .iter()
            .position(|slot| slot.0.as_ref().is_some_and(belongs));
        let Some(entry) = place.and_then(|place| self.vacate(place)) else {
            return self.late_reply(reply);
        };
        if reply.kind == entry.header.kind || reply.kind == kind::ERROR {
            Match::Reply(entry.request)
        } else {
            Match::WrongType(entry.request)
        }
    }

    /// What a reply means that belongs to no request.
    fn late_reply(&mut self, reply: &Header) -> Match<T> {
        match self.late.iter_mut().find(|late| **late == Some(reply.id)) {
            Some(late) => {
                *late = None;
                if reply.kind == kind::TRANSACTION_START {
                    Match::Late
                } else {
                    Match::Unknown
                }
            }
            None => Match::Unknown,
        }
    }

    /// Gives up the requests that match and calls `ended` for each. One that gives something back is sent all the same.
    pub fn give_up(&mut self, matches: impl Fn(&T) -> bool, ended: impl FnMut(&T)) {
        self.end_where(|entry| matches(&entry.request), ended);
    }

    /// Gives up the requests whose time is over, as [`Self::give_up`].
    pub fn expire(&mut self, now: u64, ended: impl FnMut(&T)) {
        self.end_where(|entry| entry.deadline <= now, ended);
    }

    fn end_where(&mut self, matches: impl Fn(&Entry<T>) -> bool, mut ended: impl FnMut(&T)) {
        for Slot(slot) in self.slots.iter_mut() {
            let Some(entry) = slot.as_mut().filter(|entry| !entry.given_up) else {
                continue;
            };
            if !matches(entry) {
                continue;
            }
            ended(&entry.request);
            match entry.progress {
                // What is in the ring in part must follow whole, or the stream is broken.
                Progress::Partly(_) => entry.given_up = true,
                Progress::Waiting if wire::gives_back(entry.header.kind) => entry.only_give_back(),
                Progress::Waiting => *slot = None,
                Progress::Sent => {
                    remember(&mut self.late, &entry.header);
                    *slot = None;
                }
            }
        }
    }

    /// Gives all requests a new deadline.
    pub fn prolong(&mut self, deadline: u64) {
        for entry in self.slots.iter_mut().filter_map(|slot| slot.0.as_mut()) {
            entry.deadline = deadline;
        }
    }

    /// The connection is a new one, to which all that was sent is unknown. What belongs to no transaction is sent once
    /// more, in the old order; the transactions are gone, and their requests are handed to `ended`.
    pub fn restart(&mut self, mut ended: impl FnMut(T)) {
        self.late = [None; LATE];
        for place in 0..self.slots.len() {
            let Some(Slot(Some(entry))) = self.slots.get_mut(place) else {
                continue;
            };
            entry.progress = Progress::Waiting;
            if entry.given_up || entry.header.transaction != 0 {
                self.vacate_unless_silent(place, &mut ended);
            }
        }
    }

    /// Gives all requests up at once, those that were sent in part as well: the connection is broken.
    pub fn clear(&mut self, mut ended: impl FnMut(T)) {
        self.late = [None; LATE];
        for place in 0..self.slots.len() {
            self.vacate_unless_silent(place, &mut ended);
        }
    }

    fn vacate_unless_silent(&mut self, place: usize, ended: &mut impl FnMut(T)) {
        if let Some(entry) = self.vacate(place).filter(|entry| !entry.given_up) {
            ended(entry.request);
        }
    }

    fn vacate(&mut self, place: usize) -> Option<Entry<T>> {
        self.slots.get_mut(place)?.0.take()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry<T>> {
        self.slots.iter().filter_map(|slot| slot.0.as_ref())
    }
}

/// Remembers that a request is in the ring and was given up, if it opens a transaction; the oldest is forgotten.
fn remember(late: &mut [Option<u32>; LATE], header: &Header) {
    if header.kind == kind::TRANSACTION_START {
        late.rotate_right(1);
        let [first, ..] = late;
        *first = Some(header.id);
    }
}

impl<T: Request> Entry<T> {
    /// Nobody waits any more. What nothing was sent of does not take effect any more, but for what it gives back.
    fn only_give_back(&mut self) {
        self.given_up = true;
        if self.header.kind == kind::TRANSACTION_END {
            self.abort = true;
            self.header.length = wire::ABORT.len() as u32;
        }
    }

    fn payload(&self) -> &[u8] {
        if self.abort {
            wire::ABORT
        } else {
            self.request.payload()
        }
    }

    /// Sends what is left of this request; false if not all was taken.
    fn send<E>(&mut self, write: &mut impl FnMut(&[u8]) -> Result<usize, E>) -> Result<bool, E> {
        let header = self.header.encode();
        let mut sent = match self.progress {
            Progress::Partly(sent) => sent,
            _ => 0,
        };
        loop {
            let piece = match sent.checked_sub(HEADER_SIZE) {
                None => header.get(sent..),
                Some(into) => self.payload().get(into..),
            };
            let piece = piece.unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            let taken = write(piece)?.min(piece.len());
            if taken == 0 {
                return Ok(false);
            }
            sent += taken;
            self.progress = Progress::Partly(sent);
        }
        self.progress = Progress::Sent;
        Ok(true)
    }
}
