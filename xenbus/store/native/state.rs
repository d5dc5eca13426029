// SPDX-License-Identifier: GPL-2.0

//! What the connection's lock guards: messages in and out, and what happens when that cannot go on.

use super::{
    super::{
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
            self,
            kind,
            PAYLOAD_MAX, //
        }, //
    },
    failure::Failure,
    link::Link,
    now_ms,
    report::COUNTERS,
    request::{
        Recipient,
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
    prelude::*,
    sync::Arc, //
};
use rxen_bindings as bindings;

/// Requests that may be under way at once. xenstored takes 20 of a guest before it lets the rest wait.
const SLOTS: usize = 64;

/// Of these, kept for the kernel, so that programs do not keep its requests waiting.
const KERNEL_SLOTS: usize = 16;

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
pub(super) enum Phase {
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
pub(super) struct State {
    pub(super) link: Option<Link>,
    pub(super) channel: Option<Channel>,
    // xenstored's port, for as long as there is no channel.
    pub(super) port: Option<u32>,
    framer: Framer<KVec<u8>>,
    pub(super) requests: Matcher<Arc<Request>, KVec<Slot<Arc<Request>>>>,
    pub(super) phase: Phase,
    // Counts connections: one from before a restore or a new beginning is not this one.
    pub(super) connection: u32,
    // Open transactions of the kernel, over this connection.
    pub(super) transactions: u32,
    // A suspend is near: nothing new is sent, except in open transactions.
    pub(super) holding: bool,
    // The domain may be saved at any moment: the ring is not touched.
    pub(super) parked: bool,
    // All watches are to be registered again.
    pub(super) rewatch: bool,
    // xenstored did not answer when it was told of them; it is told again once it says anything.
    pub(super) owes_watches: bool,
    // Counts the rounds in which it has said something.
    pub(super) heard: u64,
    reconnects: u32,
    reconnects_since: u64,
    complained: u64,
}

/// Somebody before us, such as the toolstack, may have asked for a new beginning that is not made yet.
pub(super) fn first_phase(link: &Link, limit: u32) -> Phase {
    if link.is_reconnecting() {
        Phase::Reconnecting {
            until: now_ms() + u64::from(limit),
        }
    } else {
        Phase::Open
    }
}

impl State {
    /// Over a ring that is mapped.
    pub(super) fn new(link: Link, limit: u32, first_number: u32) -> Result<Self> {
        let mut slots = KVec::with_capacity(SLOTS, GFP_KERNEL)?;
        for _ in 0..SLOTS {
            slots.push(Slot::default(), GFP_KERNEL)?;
        }
        let phase = first_phase(&link, limit);
        Ok(Self {
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
            owes_watches: false,
            heard: 0,
            reconnects: 0,
            reconnects_since: 0,
            complained: 0,
        })
    }

    /// One round.
    pub(super) fn step(&mut self, watches: &Watches, now: u64, limit: u32) -> Result<(), Failure> {
        if let Phase::Reconnecting { until } = self.phase {
            self.finish_reconnect(now, until, limit)?;
        }
        // Nobody but us should ask for a new beginning, but where somebody has, the ring means nothing until it is made.
        if self.phase == Phase::Open && self.link.as_ref().is_some_and(Link::is_reconnecting) {
            self.phase = Phase::Reconnecting {
                until: now + u64::from(limit),
            };
        }
        if self.phase != Phase::Open {
            return Ok(());
        }
        let received = self.receive(watches, now + u64::from(limit))?;
        if received {
            self.heard = self.heard.wrapping_add(1);
            self.rewatch |= core::mem::take(&mut self.owes_watches);
        }
        let sent = self.send()?;
        if received || sent {
            self.notify();
        }
        Ok(())
    }

    /// Tells xenstored that there is something new in the ring.
    pub(super) fn notify(&self) {
        if let Some(channel) = &self.channel {
            channel.notify();
        } else if let Some(port) = self.port {
            let mut send = bindings::evtchn_send { port };
            // An error means that the port is not connected; then no reply comes.
            // SAFETY: This is the argument of this command.
            let _ = unsafe { hypercall::event_channel_op(bindings::EVTCHNOP_send, &mut send) };
        }
    }

    /// Adds a request to those that are sent. Gives it back where there is no room.
    pub(super) fn add(&mut self, request: Arc<Request>, deadline: u64) -> Result<(), Arc<Request>> {
        if request.is_of_program() && self.requests.len() >= SLOTS - KERNEL_SLOTS {
            return Err(request);
        }
        let (kind, transaction) = (request.kind, request.transaction);
        self.requests.add(kind, transaction, request, deadline)?;
        Ok(())
    }

    /// Takes what has come. True if there was something. By the deadline the transactions are to be gone of which
    /// nobody knows any more.
    fn receive(&mut self, watches: &Watches, deadline: u64) -> Result<bool, Failure> {
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
                    if message.header.kind == kind::WATCH_EVENT {
                        watches.event(message.payload);
                    } else {
                        deliver(message, &mut self.requests, self.connection, deadline);
                    }
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
    pub(super) fn fail(&mut self, failure: Failure, now: u64, limit: u32) {
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
    pub(super) fn begin(&mut self) {
        self.framer.reset();
        self.connection = self.connection.wrapping_add(1);
        self.transactions = 0;
        self.requests.restart(|request| request.answer(Err(EAGAIN)));
    }

    /// Ends the requests that have waited for too long.
    pub(super) fn expire(&mut self, now: u64, limit: u32) {
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
    pub(super) fn tick(&self) -> Option<u32> {
        match self.phase {
            Phase::Reconnecting { .. } => Some(TICK_RECONNECTING),
            Phase::Open if self.channel.is_none() => Some(TICK_WITHOUT_CHANNEL),
            Phase::Open if !self.requests.is_empty() => Some(TICK_MISSING),
            _ => None,
        }
    }

    /// Whether the domain may be saved.
    pub(super) fn is_quiet(&self) -> bool {
        let nothing_moves = matches!(self.phase, Phase::Broken | Phase::Closed);
        nothing_moves
            || (self.requests.in_flight() == 0 && self.framer.is_idle() && self.transactions == 0)
    }

    /// Whether the stream of replies stands between two messages and nobody waits for one.
    pub(super) fn is_drained(&self) -> bool {
        self.requests.is_empty() && self.framer.is_idle()
    }

    /// For the debugfs file.
    pub(super) fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!(
            "phase {}\nconnection {}\nin_flight {}\nwaiting {}\ntransactions {}\n",
            self.phase.name(),
            self.connection,
            self.requests.in_flight(),
            self.requests.len() - self.requests.in_flight(),
            self.transactions,
        ))
    }
}

/// Hands a reply to who waits for it. Takes short locks only.
fn deliver(
    message: Message<'_>,
    requests: &mut Matcher<Arc<Request>, KVec<Slot<Arc<Request>>>>,
    connection: u32,
    deadline: u64,
) {
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
        Match::Late => {
            COUNTERS.unknown_id.count();
            abandon(message.payload, requests, deadline);
        }
        Match::Unknown => COUNTERS.unknown_id.count(),
    }
}

/// Ends a transaction that was opened when nobody waited for it any more: xenstored allows a guest a few only, and would
/// keep it for as long as the guest runs.
fn abandon(
    opened: &[u8],
    requests: &mut Matcher<Arc<Request>, KVec<Slot<Arc<Request>>>>,
    deadline: u64,
) {
    let Some(id) = wire::transaction_number(opened) else {
        return;
    };
    let mut verdict = KVec::new();
    let request = verdict
        .extend_from_slice(b"F\0", GFP_KERNEL)
        .map_err(Error::from)
        .and_then(|()| Request::new(kind::TRANSACTION_END, id, verdict, Recipient::Nobody));
    match request {
        Ok(request) => {
            // Where there is no room, it stays.
            let _ = requests.add(kind::TRANSACTION_END, id, request, deadline);
        }
        Err(_) => COUNTERS.no_memory.count(),
    }
}
