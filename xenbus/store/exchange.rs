// SPDX-License-Identifier: GPL-2.0

//! Messages between the ring and those they are for: pure, tested on the build machine.

use super::{
    framer::{
        Framer,
        Message,
        TooLong, //
    },
    matcher::{
        Match,
        Matcher,
        Request,
        Slot, //
    },
    phase::Way,
    ring::Corrupt,
    wire::{
        self,
        kind, //
    }, //
};
use core::ops::DerefMut;

/// Pieces of the ring that one round takes at the most, so that a flood of events does not keep anybody's thread.
pub const PIECES: usize = 32;

/// Bytes of a piece.
pub const PIECE: usize = 256;

/// The page that is shared with xenstored. What it says may change at any moment.
pub trait Ring {
    /// Copies the next bytes out of the ring; 0 if there are none.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Corrupt>;
    /// Copies bytes into the ring; returns how many it had room for.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Corrupt>;
    /// Takes over the indices that are in the ring.
    fn attach(&mut self) -> Result<(), Corrupt>;
    /// Whether xenstored has said that it does not serve this connection any more, and why.
    fn error(&self) -> Option<u32>;
    /// Whether xenstored can give this connection a new beginning.
    fn can_reconnect(&self) -> bool;
    /// Asks for it.
    fn reconnect(&mut self);
    /// Whether a new beginning was asked for, by us or before us, and has not been made.
    fn is_reconnecting(&self) -> bool;
}

/// Why a request ends without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its time is over.
    TimedOut {
        /// The stream of replies stands still in the middle of a message, so this request is not to blame.
        stalled: bool,
    },
    /// Its transaction has gone with the former connection.
    Again,
    /// The connection is broken.
    Broken,
    /// The module goes.
    Closed,
}

/// Who has made the requests and waits for events. What it does here takes short locks only.
pub trait Owner<T> {
    /// An event of a watch.
    fn event(&mut self, payload: &[u8]);
    /// The reply to a request, which came over the connection with this number.
    fn reply(&mut self, request: T, message: Message<'_>, connection: u32);
    /// The reply to a request is of a type that cannot be.
    fn wrong_type(&mut self, request: T);
    /// A reply that nobody waits for.
    fn unknown(&mut self, id: u32);
    /// A request that aborts a transaction of which nobody knows any more; [`None`] if it cannot be made.
    fn abort(&mut self, transaction: u32) -> Option<T>;
    /// A request ends without a reply.
    fn ended(&mut self, request: &T, end: End);
    /// The connection cannot go on as it is; `way` is what comes now.
    fn failed(&mut self, failure: &Failure, way: Way);
    /// The connection has got a new beginning.
    fn began(&mut self);
}

/// Why the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The ring is out of order.
    Ring(Corrupt),
    /// A message is longer than messages are.
    TooLong(TooLong),
    /// xenstored says that it does not serve this connection any more, with one of `XENSTORE_ERROR_*`.
    Server(u32),
    /// It was asked for a new connection and does not make one.
    NoReconnect,
    /// It has stopped in the middle of a message, so many milliseconds ago.
    Stalled(u64),
}

impl From<Corrupt> for Failure {
    fn from(corrupt: Corrupt) -> Self {
        Self::Ring(corrupt)
    }
}

impl From<TooLong> for Failure {
    fn from(long: TooLong) -> Self {
        Self::TooLong(long)
    }
}

/// What has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes.
    pub bytes: usize,
    /// There may be more; others get their turn first.
    pub more: bool,
}

/// Takes what has come over the connection with this number, and hands it to whom it is for. By the deadline the
/// transactions are to be gone of which nobody knows any more.
///
/// # Errors
///
/// [`Failure::Ring`] and [`Failure::TooLong`].
pub fn receive<T: Request, S: DerefMut<Target = [Slot<T>]>, B: DerefMut<Target = [u8]>>(
    ring: &mut impl Ring,
    framer: &mut Framer<B>,
    requests: &mut Matcher<T, S>,
    owner: &mut impl Owner<T>,
    connection: u32,
    deadline: u64,
) -> Result<Received, Failure> {
    let mut received = Received::default();
    let mut buffer = [0; PIECE];
    for _ in 0..PIECES {
        let length = ring.read(&mut buffer)?;
        if length == 0 {
            return Ok(received);
        }
        received.bytes += length;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            let (taken, message) = framer.take(rest)?;
            if let Some(message) = message {
                deliver(message, requests, owner, connection, deadline);
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
    }
    received.more = true;
    Ok(received)
}

/// Hands a message to whom it is for.
fn deliver<T: Request, S: DerefMut<Target = [Slot<T>]>>(
    message: Message<'_>,
    requests: &mut Matcher<T, S>,
    owner: &mut impl Owner<T>,
    connection: u32,
    deadline: u64,
) {
    if message.header.kind == kind::WATCH_EVENT {
        return owner.event(message.payload);
    }
    match requests.reply(&message.header) {
        Match::Reply(request) => owner.reply(request, message, connection),
        Match::WrongType(request) => owner.wrong_type(request),
        Match::Unknown => owner.unknown(message.header.id),
        Match::Late => {
            owner.unknown(message.header.id);
            // xenstored allows a guest a few transactions only, and would keep this one for as long as the guest runs.
            let Some(id) = wire::transaction_number(message.payload) else {
                return;
            };
            if let Some(request) = owner.abort(id) {
                // Where there is no room, it stays.
                let _ = requests.add(kind::TRANSACTION_END, id, request, deadline);
            }
        }
    }
}
