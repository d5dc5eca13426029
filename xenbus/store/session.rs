// SPDX-License-Identifier: GPL-2.0

//! The session with xenstored: what it is doing, and what happens when it cannot go on. Pure, tested on the build
//! machine.
//!
//! A stream of replies that is out of order gets a new beginning where xenstored offers that, and is the end of the
//! session elsewhere. One that only stands still in the middle of a message is not out of order: xenstored may have been
//! stopped there, and what comes later completes the message. So where there is no new beginning, such a *stalled* session
//! waits for the rest; requests get a short time only, and nothing new is sent.

use super::{
    exchange::{
        self,
        End,
        Failure,
        Owner,
        Ring, //
    },
    framer::Framer,
    matcher::{
        Matcher,
        Request,
        Slot, //
    },
    phase::{
        Done,
        Phase,
        Way, //
    },
    ring::Corrupt,
    wire::{
        self,
        Header, //
    }, //
};
use core::ops::DerefMut;

/// Milliseconds until the ring is looked at without an event while a reply or the rest of a message is missing.
pub const TICK_MISSING: u32 = 1000;
/// The same while the connection gets a new beginning.
pub const TICK_RECONNECTING: u32 = 20;
/// The same without an event channel.
pub const TICK_WITHOUT_CHANNEL: u32 = 10;
/// The same while only watches are waited for: an event may have got lost.
pub const TICK_IDLE: u32 = 5000;

/// New beginnings that may be asked for within [`RECONNECT_WINDOW_MS`].
pub const RECONNECTS: usize = 5;
/// A minute.
pub const RECONNECT_WINDOW_MS: u64 = 60_000;

/// Milliseconds until watches are registered again that xenstored has refused, or for which there was no memory.
pub const REWATCH_MS: u64 = 10_000;

/// Milliseconds that a request may wait while the stream of replies is stalled. Not none: who asks again and again relies
/// on it that each time takes a while.
pub const STALLED_LIMIT_MS: u64 = 1000;

/// The session.
pub struct Session<T, S: DerefMut<Target = [Slot<T>]>, B: DerefMut<Target = [u8]>> {
    /// The requests.
    pub requests: Matcher<T, S>,
    framer: Framer<B>,
    phase: Phase,
    // Milliseconds that xenstored has for a reply.
    limit: u64,
    /// Counts connections: one from before a restore or a new beginning is not this one.
    pub connection: u32,
    /// Open transactions of the kernel, over this connection.
    pub transactions: u32,
    /// A suspend is near: nothing new is sent, except in open transactions.
    pub holding: bool,
    /// All watches are to be registered again.
    pub rewatch: bool,
    /// xenstored did not answer when it was told of them; it is told again once it says anything.
    pub owes_watches: bool,
    // It refused some, and all are to be registered again at this time.
    rewatch_at: Option<u64>,
    /// Counts the rounds in which it has said something.
    pub heard: u64,
    // When it last said something, or the stream of replies last began.
    last: u64,
    // The stream of replies stands still in the middle of a message, or the new beginning is overdue.
    stalled: bool,
    // When new beginnings were asked for, the last one first.
    asked: [Option<u64>; RECONNECTS],
}

impl<T: Request, S: DerefMut<Target = [Slot<T>]>, B: DerefMut<Target = [u8]>> Session<T, S, B> {
    /// Over a ring to which the end on this side is attached. `limit` is how many milliseconds xenstored has for a reply.
    pub fn new(
        ring: &impl Ring,
        requests: Matcher<T, S>,
        framer: Framer<B>,
        limit: u64,
        now: u64,
    ) -> Self {
        let mut session = Self {
            requests,
            framer,
            phase: Phase::Open,
            limit,
            connection: 1,
            transactions: 0,
            holding: false,
            rewatch: false,
            owes_watches: false,
            rewatch_at: None,
            heard: 0,
            last: now,
            stalled: false,
            asked: [None; RECONNECTS],
        };
        session.enter(ring, now);
        session
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// By when a request that is made now has its reply.
    pub fn deadline(&self, now: u64) -> u64 {
        let limit = if self.stalled {
            self.limit.min(STALLED_LIMIT_MS)
        } else {
            self.limit
        };
        now.saturating_add(limit)
    }

    /// Whether xenstored has stopped in the middle of a message, or where it should make a new beginning, for longer than
    /// a reply may take.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// One round: moves what can be moved, ends what has waited for too long, finds a way out where it cannot go on.
    pub fn round(&mut self, ring: &mut impl Ring, owner: &mut impl Owner<T>, now: u64) -> Done {
        let mut done = match self.step(ring, owner, now) {
            Ok(done) => done,
            Err(failure) => self.fail(ring, owner, failure, now),
        };
        let silent = now.saturating_sub(self.last);
        if self.phase == Phase::Open && !self.framer.is_idle() && silent >= self.limit {
            if !self.stalled {
                let failed = self.fail(ring, owner, Failure::Stalled(silent), now);
                done.notify |= failed.notify;
            }
            // It may have missed that there is room for the rest.
            done.notify = true;
        }
        let stalled = self.stalled;
        self.requests.expire(now, |request| {
            owner.ended(request, End::TimedOut { stalled });
        });
        done
    }

    /// Moves messages.
    fn step(
        &mut self,
        ring: &mut impl Ring,
        owner: &mut impl Owner<T>,
        now: u64,
    ) -> Result<Done, Failure> {
        if let Phase::Reconnecting { until, patient } = self.phase {
            self.finish_reconnect(ring, owner, now, until, patient)?;
        } else if self.phase == Phase::Open {
            // Nobody but us should ask for a new beginning, but where somebody has, the ring means nothing until it is
            // made.
            self.enter(ring, now);
        }
        if self.phase != Phase::Open {
            return Ok(Done::default());
        }
        if let Some(error) = ring.error() {
            return Err(Failure::Server(error));
        }
        let deadline = self.deadline(now);
        let (framer, requests) = (&mut self.framer, &mut self.requests);
        let received = exchange::receive(ring, framer, requests, owner, self.connection, deadline)?;
        if received.bytes > 0 {
            self.last = now;
            if core::mem::take(&mut self.stalled) {
                // The short time was for the stalled stream.
                self.requests.prolong(now.saturating_add(self.limit));
            }
            self.heard = self.heard.wrapping_add(1);
            self.rewatch |= core::mem::take(&mut self.owes_watches);
        }
        let may_ask = !self.holding && !self.stalled;
        if may_ask && self.rewatch_at.take_if(|at| *at <= now).is_some() {
            self.rewatch = true;
        }
        let sent = self.send(ring)?;
        Ok(Done {
            notify: received.bytes > 0 || sent,
            more: received.more,
        })
    }

    /// Has all watches registered again [`REWATCH_MS`] from now, over the same connection.
    pub fn rewatch_later(&mut self, now: u64) {
        self.rewatch_at = Some(now.saturating_add(REWATCH_MS));
    }

    /// Sends what waits. True if something was sent.
    fn send(&mut self, ring: &mut impl Ring) -> Result<bool, Failure> {
        let (holding, stalled) = (self.holding, self.stalled);
        let may_begin = |header: &Header| {
            (!holding || header.transaction != 0) && (!stalled || wire::gives_back(header.kind))
        };
        let mut sent = false;
        self.requests.send(may_begin, |bytes| {
            let taken = ring.write(bytes)?;
            sent |= taken > 0;
            Ok::<_, Corrupt>(taken)
        })?;
        Ok(sent)
    }

    /// The connection cannot go on: asks for a new beginning where xenstored offers that. Elsewhere it waits for the rest
    /// of a message, and gives up for any other reason.
    fn fail(
        &mut self,
        ring: &mut impl Ring,
        owner: &mut impl Owner<T>,
        failure: Failure,
        now: u64,
    ) -> Done {
        let patient = matches!(failure, Failure::Stalled(_));
        let offered = ring.can_reconnect() && failure != Failure::NoReconnect;
        if offered && self.may_ask(now) {
            owner.failed(&failure, Way::Reconnect);
            ring.reconnect();
            let until = now.saturating_add(self.limit);
            self.phase = Phase::Reconnecting { until, patient };
            return Done {
                notify: true,
                more: false,
            };
        }
        if patient {
            owner.failed(&failure, Way::Wait);
            self.stalled = true;
        } else {
            owner.failed(&failure, Way::Break);
            self.stop(Phase::Broken, |request| owner.ended(&request, End::Broken));
        }
        Done::default()
    }

    /// Whether a new beginning may be asked for once more; then it counts.
    fn may_ask(&mut self, now: u64) -> bool {
        let [.., oldest] = self.asked;
        if oldest.is_some_and(|oldest| now.saturating_sub(oldest) < RECONNECT_WINDOW_MS) {
            return false;
        }
        self.asked.rotate_right(1);
        let [last, ..] = &mut self.asked;
        *last = Some(now);
        true
    }

    /// Looks whether xenstored has made the new beginning.
    fn finish_reconnect(
        &mut self,
        ring: &mut impl Ring,
        owner: &mut impl Owner<T>,
        now: u64,
        until: u64,
        patient: bool,
    ) -> Result<(), Failure> {
        if ring.is_reconnecting() {
            if now >= until && !patient {
                return Err(Failure::NoReconnect);
            }
            if now >= until && !self.stalled {
                owner.failed(&Failure::NoReconnect, Way::Wait);
                self.stalled = true;
            }
            return Ok(());
        }
        ring.attach()?;
        self.phase = Phase::Open;
        self.begin(now, |request| owner.ended(&request, End::Again));
        self.requests.prolong(now.saturating_add(self.limit));
        self.rewatch = true;
        owner.began();
        Ok(())
    }

    /// Reads from the ring whether it is to be used: somebody before us, such as the toolstack, may have asked for a new
    /// beginning that is not made yet.
    fn enter(&mut self, ring: &impl Ring, now: u64) {
        self.phase = if ring.is_reconnecting() {
            Phase::Reconnecting {
                until: now.saturating_add(self.limit),
                patient: false,
            }
        } else {
            Phase::Open
        };
    }

    /// At the beginning of a connection, to which all that was before is unknown. Calls `ended` for the requests whose
    /// transactions are gone.
    fn begin(&mut self, now: u64, ended: impl FnMut(T)) {
        self.framer.reset();
        self.last = now;
        self.stalled = false;
        self.connection = self.connection.wrapping_add(1);
        self.transactions = 0;
        self.rewatch_at = None;
        self.requests.restart(ended);
    }

    /// Goes on with a new ring. What was sent and has no reply is sent again; for the rest see [`Self::begin`].
    pub fn replace(&mut self, ring: &impl Ring, now: u64, ended: impl FnMut(T)) {
        self.enter(ring, now);
        self.begin(now, ended);
    }

    /// Nothing moves any more, for the reason that `phase` says: calls `ended` for all requests.
    pub fn stop(&mut self, phase: Phase, ended: impl FnMut(T)) {
        self.phase = phase;
        self.requests.clear(ended);
    }

    /// After a time that does not count, in which the domain may have been saved.
    pub fn go_on(&mut self, now: u64) {
        self.last = now;
        self.requests.prolong(self.deadline(now));
    }

    /// When to look again without an event.
    pub fn tick(&self, has_channel: bool, has_watches: bool) -> Option<u32> {
        match self.phase {
            Phase::Reconnecting { .. } if self.stalled => Some(TICK_MISSING),
            Phase::Reconnecting { .. } => Some(TICK_RECONNECTING),
            Phase::Open if !has_channel => Some(TICK_WITHOUT_CHANNEL),
            Phase::Open if !self.is_drained() => Some(TICK_MISSING),
            Phase::Open if has_watches || self.rewatch_at.is_some() => Some(TICK_IDLE),
            _ => None,
        }
    }

    /// Whether the domain may be saved. What is overdue of a message in either direction is not waited for: a restore is
    /// a new beginning, and without one it may still follow.
    pub fn is_quiet(&self) -> bool {
        if matches!(self.phase, Phase::Broken | Phase::Closed) {
            return true;
        }
        let in_the_middle = if self.stalled {
            self.requests.awaited() > 0
        } else {
            self.requests.in_flight() > 0 || !self.is_between_messages()
        };
        !in_the_middle && self.transactions == 0
    }

    /// Whether the stream of replies stands between two messages.
    pub fn is_between_messages(&self) -> bool {
        self.framer.is_idle()
    }

    /// Whether it does, and nobody waits for a reply.
    pub fn is_drained(&self) -> bool {
        self.requests.is_empty() && self.is_between_messages()
    }
}
