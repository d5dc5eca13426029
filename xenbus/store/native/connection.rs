// SPDX-License-Identifier: GPL-2.0

//! The connection to xenstored: requests go out, replies and events come in, and what happens when that fails.
//!
//! Whoever has a request moves messages himself ([`Connection::pump`]); else a work item does, when xenstored sends an
//! event, or after a while in case an event got lost. Moving messages never waits: a reply is handed to its thread or
//! open file, an event is put into the backlog of its watch, and the handlers run elsewhere.

use super::super::{
    framer::{
        Framer,
        Message, //
    },
    matcher::{
        Match,
        Matcher,
        Slot, //
    },
    ring::Corrupt,
    wire::{
        kind,
        PAYLOAD_MAX, //
    },
    Transaction, //
};
use super::{
    failure::Failure,
    link::Link,
    now_ms,
    report::COUNTERS,
    request::{
        Answer,
        Reply,
        Request, //
    },
    watch::Watches, //
};
use crate::{
    evtchn::Channel,
    hypercall, //
};
use kernel::{
    fmt,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use rxen_bindings as bindings;

/// Requests that may be under way at once. xenstored takes 20 of a guest before it lets the rest wait.
const SLOTS: usize = 64;

/// Pieces of the ring that one round takes at the most, so that a flood of events does not keep anybody's thread.
const PIECES: usize = 32;

/// Milliseconds until the ring is looked at without an event: while a reply is missing, while the connection gets a new
/// beginning, and while there is no event channel.
const TICK_MISSING: u32 = 1000;
const TICK_RECONNECTING: u32 = 20;
const TICK_WITHOUT_CHANNEL: u32 = 10;

/// New beginnings that may be made within [`RECONNECT_WINDOW_MS`].
const RECONNECTS: u32 = 5;
const RECONNECT_WINDOW_MS: u64 = 60_000;

/// Milliseconds between two complaints about missing replies.
const COMPLAINT_MS: u64 = 10_000;

/// What the connection is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Messages move.
    Open,
    /// xenstored is to give the connection a new beginning, by this time.
    Reconnecting { until: u64 },
    /// Nothing moves any more.
    Broken,
    /// The module goes.
    Closed,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Reconnecting { .. } => "reconnecting",
            Self::Broken => "broken",
            Self::Closed => "closed",
        }
    }
}

/// What the lock of the connection guards.
struct State {
    link: Option<Link>,
    channel: Option<Channel>,
    // xenstored's port, for as long as there is no channel.
    port: Option<u32>,
    framer: Framer<KVec<u8>>,
    requests: Matcher<Arc<Request>, KVec<Slot<Arc<Request>>>>,
    phase: Phase,
    // Counts connections: one from before a restore or a new beginning is not this one.
    connection: u32,
    // Open transactions of the kernel, over this connection.
    transactions: u32,
    // A suspend is near: nothing new is sent, except in open transactions.
    holding: bool,
    // The domain may be saved at any moment: the ring is not touched.
    parked: bool,
    // All watches are to be registered again.
    rewatch: bool,
    reconnects: u32,
    reconnects_since: u64,
    complained: u64,
}

/// The connection.
#[pin_data]
pub(super) struct Connection {
    /// The watches.
    #[pin]
    pub(super) watches: Watches,
    /// Milliseconds that xenstored has for a reply.
    pub(super) limit: u32,
    #[pin]
    state: Mutex<State>,
}

impl Connection {
    /// Over a ring that is mapped. Without a channel the ring is looked at all the time.
    pub(super) fn new(link: Link, limit: u32, first_number: u32) -> Result<Arc<Self>> {
        let mut slots = KVec::with_capacity(SLOTS, GFP_KERNEL)?;
        for _ in 0..SLOTS {
            slots.push(Slot::default(), GFP_KERNEL)?;
        }
        let phase = Self::first_phase(&link, limit);
        let state = State {
            link: Some(link),
            channel: None,
            port: None,
            framer: Framer::new(KVec::from_elem(0, PAYLOAD_MAX, GFP_KERNEL)?),
            requests: Matcher::new(slots, first_number),
            phase,
            connection: 1,
            transactions: 0,
            holding: false,
            parked: false,
            rewatch: false,
            reconnects: 0,
            reconnects_since: 0,
            complained: 0,
        };
        Arc::pin_init(
            pin_init!(Self {
                watches <- Watches::new(),
                limit,
                state <- new_mutex!(state),
            }),
            GFP_KERNEL,
        )
    }

    /// Somebody before us, such as the toolstack, may have asked for a new beginning that is not made yet.
    fn first_phase(link: &Link, limit: u32) -> Phase {
        if link.is_reconnecting() {
            Phase::Reconnecting {
                until: now_ms() + u64::from(limit),
            }
        } else {
            Phase::Open
        }
    }

    /// Sets the port of xenstored's events.
    pub(super) fn set_port(&self, port: u32) {
        self.state.lock().port = Some(port);
    }

    /// Sets the event channel.
    pub(super) fn set_channel(&self, channel: Channel) {
        self.state.lock().channel = Some(channel);
    }

    /// Moves what can be moved, ends what has waited for too long. True if all watches must be registered again.
    #[must_use]
    pub(super) fn pump(&self) -> bool {
        let _memory = NoIo::begin();
        let mut state = self.state.lock();
        if state.parked {
            return false;
        }
        let now = now_ms();
        if let Err(failure) = state.step(&self.watches, now, self.limit) {
            state.fail(failure, now, self.limit);
        }
        state.expire(now, self.limit);
        if let Some(tick) = state.tick() {
            // SAFETY: The queues exist as long as a connection that is not closed.
            unsafe { bindings::rxen_store_tick(tick) };
        }
        core::mem::take(&mut state.rewatch)
    }

    /// Puts a request among those that are sent; [`Self::pump`] sends it.
    ///
    /// # Errors
    ///
    /// `EIO` on a broken connection, `ENODEV` on a closed one, `EAGAIN` if the request's transaction was part of a
    /// former connection, `ETIMEDOUT` if there was no room for too long.
    pub(super) fn submit(&self, request: Arc<Request>, connection: u32) -> Result {
        let mut request = request;
        let mut patience = self.limit / 5;
        loop {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Open | Phase::Reconnecting { .. } => {}
                Phase::Broken => return Err(EIO),
                Phase::Closed => return Err(ENODEV),
            }
            if request.transaction != 0 && connection != state.connection {
                return Err(EAGAIN);
            }
            let (kind, transaction) = (request.kind, request.transaction);
            let deadline = now_ms() + u64::from(self.limit);
            match state.requests.add(kind, transaction, request, deadline) {
                Ok(_) => break,
                Err(back) => request = back,
            }
            drop(state);
            patience = patience.checked_sub(1).ok_or(ETIMEDOUT)?;
            fsleep(Delta::from_millis(5));
        }
        COUNTERS.requests.count();
        Ok(())
    }

    /// Waits for the answer to a request that was submitted.
    pub(super) fn wait(&self, request: &Arc<Request>) -> Answer {
        loop {
            // A while longer than the limit, after which `expire` gives it an answer.
            if let Some(answer) = request.wait(self.limit.saturating_add(5000)) {
                return answer;
            }
            let mut state = self.state.lock();
            // The time in which the domain is being saved does not count.
            if state.parked {
                continue;
            }
            let this = |other: &Arc<Request>| Arc::ptr_eq(other, request);
            state.requests.give_up(this, |_| {});
            drop(state);
            return request.wait(0).unwrap_or(Err(ETIMEDOUT));
        }
    }

    /// A transaction was opened.
    pub(super) fn opened(&self, transaction: &Transaction) {
        let mut state = self.state.lock();
        if transaction.connection == state.connection {
            state.transactions += 1;
        }
    }

    /// A transaction has come to its end, one way or another.
    pub(super) fn ended(&self, transaction: &Transaction) {
        let mut state = self.state.lock();
        if transaction.connection == state.connection {
            state.transactions = state.transactions.saturating_sub(1);
        }
    }

    /// The number of the present connection.
    pub(super) fn number(&self) -> u32 {
        self.state.lock().connection
    }

    /// Lets what is under way come to its end and holds back what is new; then nobody touches the ring any more.
    ///
    /// # Errors
    ///
    /// `ETIME` if so many milliseconds are not enough; then nothing is held back.
    pub(super) fn park(&self, limit: u32) -> Result {
        self.state.lock().holding = true;
        let until = now_ms() + u64::from(limit);
        loop {
            let _ = self.pump();
            let mut state = self.state.lock();
            if state.is_quiet() {
                state.parked = true;
                return Ok(());
            }
            if now_ms() >= until {
                pr_err!(
                    "xenstore: not ready for a suspend: {} requests without reply, {} open transactions\n",
                    state.requests.in_flight(),
                    state.transactions
                );
                state.holding = false;
                return Err(ETIME);
            }
            drop(state);
            fsleep(Delta::from_millis(5));
        }
    }

    /// Goes on with the same connection.
    pub(super) fn unpark(&self) {
        let mut state = self.state.lock();
        state.holding = false;
        state.parked = false;
        let deadline = now_ms() + u64::from(self.limit);
        state.requests.prolong(deadline);
    }

    /// Takes the channel of the former connection away, so that it can be dropped where that may wait.
    pub(super) fn take_channel(&self) -> Option<Channel> {
        let mut state = self.state.lock();
        state.port = None;
        state.channel.take()
    }

    /// Goes on with a new ring. What was sent and has no reply is sent again.
    pub(super) fn replace(&self, link: Link) {
        let phase = Self::first_phase(&link, self.limit);
        let mut state = self.state.lock();
        let former = state.link.replace(link);
        state.phase = phase;
        state.begin();
        drop(state);
        drop(former);
    }

    /// Gives up: all requests end in an error.
    pub(super) fn give_up(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Broken;
        state.requests.clear(|request| request.answer(Err(EIO)));
    }

    /// Waits until nothing is under way, for so many milliseconds at the most, then lets go of ring and channel.
    pub(super) fn close(&self, limit: u32) {
        let until = now_ms() + u64::from(limit);
        loop {
            let _ = self.pump();
            let state = self.state.lock();
            let quiet = state.requests.is_empty() && state.framer.is_idle();
            if quiet || state.phase != Phase::Open || now_ms() >= until {
                break;
            }
            drop(state);
            fsleep(Delta::from_millis(5));
        }
        let mut state = self.state.lock();
        state.phase = Phase::Closed;
        state.requests.clear(|request| request.answer(Err(ENODEV)));
        let (channel, link) = (state.channel.take(), state.link.take());
        drop(state);
        drop(channel);
        drop(link);
    }

    /// For the debugfs file.
    pub(super) fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.write_fmt(fmt!(
            "phase {}\nconnection {}\nin_flight {}\nwaiting {}\ntransactions {}\nwatches {}\n",
            state.phase.name(),
            state.connection,
            state.requests.in_flight(),
            state.requests.len() - state.requests.in_flight(),
            state.transactions,
            self.watches.len()
        ))
    }
}

impl State {
    /// One round.
    fn step(&mut self, watches: &Watches, now: u64, limit: u32) -> Result<(), Failure> {
        if let Phase::Reconnecting { until } = self.phase {
            self.finish_reconnect(now, until, limit)?;
        }
        if self.phase != Phase::Open {
            return Ok(());
        }
        let received = self.receive(watches)?;
        let sent = self.send()?;
        if received || sent {
            self.notify();
        }
        Ok(())
    }

    /// Tells xenstored that there is something new in the ring.
    fn notify(&self) {
        if let Some(channel) = &self.channel {
            channel.notify();
        } else if let Some(port) = self.port {
            let mut send = bindings::evtchn_send { port };
            // An error means that the port is not connected; then no reply comes.
            // SAFETY: This is the argument of this command.
            let _ = unsafe { hypercall::event_channel_op(bindings::EVTCHNOP_send, &mut send) };
        }
    }

    /// Takes what has come. True if there was something.
    fn receive(&mut self, watches: &Watches) -> Result<bool, Failure> {
        let Some(link) = self.link.as_mut() else {
            return Ok(false);
        };
        if let Some(error) = link.error() {
            return Err(Failure::Server(error));
        }
        let mut buffer = [0; 256];
        for piece in 0..PIECES {
            let length = link.read(&mut buffer)?;
            if length == 0 {
                return Ok(piece > 0);
            }
            let mut rest = buffer.get(..length).unwrap_or_default();
            while !rest.is_empty() {
                let (taken, message) = self.framer.take(rest)?;
                if let Some(message) = message {
                    deliver(message, &mut self.requests, watches, self.connection);
                }
                rest = rest.get(taken..).unwrap_or_default();
            }
        }
        // There may be more; others get their turn first.
        // SAFETY: The queues exist as long as a connection that is not closed.
        unsafe { bindings::rxen_store_event() };
        Ok(true)
    }

    /// Sends what waits. True if something was sent.
    fn send(&mut self) -> Result<bool, Failure> {
        let Some(link) = self.link.as_mut() else {
            return Ok(false);
        };
        let holding = self.holding;
        let mut sent = false;
        self.requests.send(
            |header| !holding || header.transaction != 0,
            |bytes| {
                let taken = link.write(bytes)?;
                sent |= taken > 0;
                Ok::<_, Corrupt>(taken)
            },
        )?;
        Ok(sent)
    }

    /// The connection cannot go on: asks for a new beginning where xenstored offers that, and gives up elsewhere.
    fn fail(&mut self, failure: Failure, now: u64, limit: u32) {
        COUNTERS.failures.count();
        if now.saturating_sub(self.reconnects_since) > RECONNECT_WINDOW_MS {
            self.reconnects = 0;
            self.reconnects_since = now;
        }
        let link = self
            .link
            .as_mut()
            .filter(|link| link.can_reconnect() && !matches!(failure, Failure::NoReconnect));
        match link {
            Some(link) if self.reconnects < RECONNECTS => {
                pr_warn!("xenstore: {failure}; asking xenstored for a new connection\n");
                self.reconnects += 1;
                link.reconnect();
                self.phase = Phase::Reconnecting {
                    until: now + u64::from(limit),
                };
                self.notify();
            }
            _ => {
                pr_err!(
                    "xenstore: {failure}; no more xenstore in this guest: what is connected goes on, but nothing can be \
                     attached or detached. Save and restore the guest or reboot it, and look for errors of xenstored in \
                     dom0\n"
                );
                self.phase = Phase::Broken;
                self.requests.clear(|request| request.answer(Err(EIO)));
            }
        }
    }

    /// Looks whether xenstored has made the new beginning.
    fn finish_reconnect(&mut self, now: u64, until: u64, limit: u32) -> Result<(), Failure> {
        let Some(link) = self.link.as_mut() else {
            return Ok(());
        };
        if link.is_reconnecting() {
            return if now < until {
                Ok(())
            } else {
                Err(Failure::NoReconnect)
            };
        }
        link.attach()?;
        self.phase = Phase::Open;
        self.begin();
        self.requests.prolong(now + u64::from(limit));
        self.rewatch = true;
        COUNTERS.reconnects.count();
        Ok(())
    }

    /// At the beginning of a connection, to which all that was before is unknown.
    fn begin(&mut self) {
        self.framer.reset();
        self.connection = self.connection.wrapping_add(1);
        self.transactions = 0;
        self.requests.restart(|request| request.answer(Err(EAGAIN)));
    }

    /// Ends the requests that have waited for too long.
    fn expire(&mut self, now: u64, limit: u32) {
        let complained = &mut self.complained;
        self.requests.expire(now, |request| {
            COUNTERS.timeouts.count();
            if *complained == 0 || now.saturating_sub(*complained) > COMPLAINT_MS {
                *complained = now;
                pr_err!(
                    "xenstore: no reply to request {} for {} in {} ms; does xenstored run, and is dom0 overloaded?\n",
                    request.kind,
                    request.path(),
                    limit
                );
            }
            request.answer(Err(ETIMEDOUT));
        });
    }

    /// When to look again without an event.
    fn tick(&self) -> Option<u32> {
        match self.phase {
            Phase::Reconnecting { .. } => Some(TICK_RECONNECTING),
            Phase::Open if self.channel.is_none() => Some(TICK_WITHOUT_CHANNEL),
            Phase::Open if !self.requests.is_empty() => Some(TICK_MISSING),
            _ => None,
        }
    }

    /// Whether the domain may be saved.
    fn is_quiet(&self) -> bool {
        let nothing_moves = matches!(self.phase, Phase::Broken | Phase::Closed);
        nothing_moves
            || (self.requests.in_flight() == 0 && self.framer.is_idle() && self.transactions == 0)
    }
}

/// Hands a message to who waits for it. Takes short locks only.
fn deliver(
    message: Message<'_>,
    requests: &mut Matcher<Arc<Request>, KVec<Slot<Arc<Request>>>>,
    watches: &Watches,
    connection: u32,
) {
    if message.header.kind == kind::WATCH_EVENT {
        watches.event(message.payload);
        return;
    }
    match requests.reply(&message.header) {
        Match::Reply(request) => {
            COUNTERS.replies.count();
            let mut payload = KVec::new();
            let answer = payload.extend_from_slice(message.payload, GFP_KERNEL);
            if answer.is_err() {
                COUNTERS.no_memory.count();
            }
            request.answer(answer.map_err(Error::from).map(|()| Reply {
                kind: message.header.kind,
                payload,
                connection,
            }));
        }
        Match::WrongType(request) => {
            COUNTERS.replies.count();
            COUNTERS.wrong_type.count();
            request.answer(Err(EIO));
        }
        Match::Unknown => COUNTERS.unknown_id.count(),
    }
}

/// While this lives, the thread allocates memory without waiting for a disk, which may wait for xenstore itself.
pub(crate) struct NoIo(c_uint);

impl NoIo {
    /// From now on.
    pub(crate) fn begin() -> Self {
        // SAFETY: Sets a flag of this thread; `drop` puts it back.
        Self(unsafe { bindings::rxen_noio_begin() })
    }
}

impl Drop for NoIo {
    fn drop(&mut self) {
        // SAFETY: What `begin` returned, and values of this type do not leave their thread.
        unsafe { bindings::rxen_noio_end(self.0) }
    }
}
