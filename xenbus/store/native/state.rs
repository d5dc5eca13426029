// SPDX-License-Identifier: GPL-2.0

//! What the connection's lock guards: the session with xenstored, the ring and the event channel it goes over.

use super::{
    super::{
        exchange::{
            End,
            Failure,
            Owner, //
        },
        framer::{
            Framer,
            Message, //
        },
        matcher::{
            Matcher,
            Slot, //
        },
        phase::{
            Phase,
            Way, //
        },
        session,
        wire::PAYLOAD_MAX, //
    },
    link::Link,
    now_ms,
    owed::Owed,
    report::COUNTERS,
    request::{
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

/// Places that ends of watches and transactions have at the most while xenstored does not take them.
const OWED_SLOTS: usize = 8;

/// Milliseconds between two complaints about missing replies.
const COMPLAINT_MS: u64 = 10_000;

/// The session, in the memory that it has here.
type Session = session::Session<Arc<Request>, KVec<Slot<Arc<Request>>>, KVec<u8>>;

/// What the lock of the connection guards.
pub(super) struct State {
    /// What is said over the ring.
    pub(super) session: Session,
    link: Option<Link>,
    pub(super) channel: Option<Channel>,
    // xenstored's port, for as long as there is no channel.
    pub(super) port: Option<u32>,
    /// What waits for a place among the requests, though nobody waits for it.
    pub(super) owed: Owed,
    // The domain may be saved at any moment: the ring is not touched.
    pub(super) parked: bool,
    complained: u64,
}

impl State {
    /// Over a ring that is mapped.
    pub(super) fn new(link: Link, limit: u32, first_number: u32) -> Result<Self> {
        let mut slots = KVec::with_capacity(SLOTS, GFP_KERNEL)?;
        for _ in 0..SLOTS {
            slots.push(Slot::default(), GFP_KERNEL)?;
        }
        let requests = Matcher::new(slots, first_number);
        let framer = Framer::new(KVec::from_elem(0, PAYLOAD_MAX, GFP_KERNEL)?);
        Ok(Self {
            session: Session::new(&link, requests, framer, limit.into(), now_ms()),
            link: Some(link),
            channel: None,
            port: None,
            owed: Owed::new(),
            parked: false,
            complained: 0,
        })
    }

    /// One round: moves what can be moved, ends what has waited for too long.
    pub(super) fn round(&mut self, watches: &Watches) {
        self.pay();
        let Some(link) = self.link.as_mut() else {
            return;
        };
        let now = now_ms();
        let mut owner = Kernel {
            watches,
            complained: &mut self.complained,
            now,
        };
        let done = self.session.round(link, &mut owner, now);
        if done.notify {
            self.notify();
        }
        // What is owed comes before programs that wait for a place; it is sent by the next round.
        if self.pay() || done.more {
            // SAFETY: The queues exist as long as a connection that is not closed.
            unsafe { bindings::rxen_store_event() };
        }
    }

    /// Puts what is owed among the requests that are sent, as if programs had asked for it. True if it did.
    fn pay(&mut self) -> bool {
        let mut paid = false;
        while self.session.phase() == Phase::Open
            && self.session.requests.unsent_ends() < OWED_SLOTS
            && !self.is_full_for_programs()
        {
            let connection = self.session.connection;
            let Some(request) = self.owed.take(connection) else {
                break;
            };
            if let Err(request) = self.add(request) {
                self.owed.add(request, connection);
                break;
            }
            COUNTERS.requests.count();
            paid = true;
        }
        paid
    }

    /// Whether all places are taken that are not kept for the kernel.
    fn is_full_for_programs(&self) -> bool {
        self.session.requests.len() >= SLOTS - KERNEL_SLOTS
    }

    /// Has this request sent as soon as there is a place; it ends something that only the connection with this number
    /// knows of.
    pub(super) fn owe(&mut self, request: Arc<Request>, over: u32) {
        let lives = matches!(
            self.session.phase(),
            Phase::Open | Phase::Reconnecting { .. }
        );
        if lives && over == self.session.connection {
            self.owed.add(request, over);
        }
    }

    /// Whether nobody waits for a reply, and xenstored has been told of all that has ended.
    pub(super) fn is_settled(&self) -> bool {
        self.session.is_drained() && self.owed.len() == 0
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
    pub(super) fn add(&mut self, request: Arc<Request>) -> Result<(), Arc<Request>> {
        if request.is_of_program() && self.is_full_for_programs() {
            return Err(request);
        }
        let session = &mut self.session;
        let (kind, transaction) = (request.kind, request.transaction);
        let deadline = session.deadline(now_ms());
        session.requests.add(kind, transaction, request, deadline)?;
        Ok(())
    }

    /// Goes on with a new ring. Returns the former one, to be dropped without the lock.
    #[must_use]
    pub(super) fn replace(&mut self, link: Link) -> Option<Link> {
        let ended = |request: Arc<Request>| end(&request, End::Again);
        self.session.replace(&link, now_ms(), ended);
        self.link.replace(link)
    }

    /// The session is over: all requests end in an error.
    pub(super) fn give_up(&mut self) {
        self.session
            .stop(Phase::Broken, |request| end(&request, End::Broken));
    }

    /// The module goes: as [`Self::give_up`]. Returns the ring, to be dropped without the lock.
    #[must_use]
    pub(super) fn close(&mut self) -> Option<Link> {
        self.session
            .stop(Phase::Closed, |request| end(&request, End::Closed));
        self.link.take()
    }

    /// For the debugfs file.
    pub(super) fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (session, requests) = (&self.session, &self.session.requests);
        f.write_fmt(fmt!(
            "phase {}\nconnection {}\nin_flight {}\nwaiting {}\ntransactions {}\nstalled {}\nowed {}\n",
            session.phase().name(),
            session.connection,
            requests.in_flight(),
            requests.len().saturating_sub(requests.in_flight()),
            session.transactions,
            u32::from(session.is_stalled()),
            self.owed.len().saturating_add(requests.given_up()),
        ))
    }
}

/// Ends a request without a reply.
fn end(request: &Request, end: End) {
    request.answer(Err(match end {
        End::TimedOut { .. } => ETIMEDOUT,
        End::Again => EAGAIN,
        End::Broken => EIO,
        End::Closed => ENODEV,
    }));
}

/// Who has made the requests and waits for events.
struct Kernel<'a> {
    watches: &'a Watches,
    complained: &'a mut u64,
    now: u64,
}

impl Owner<Arc<Request>> for Kernel<'_> {
    fn event(&mut self, payload: &[u8]) {
        self.watches.event(payload);
    }

    fn reply(&mut self, request: Arc<Request>, message: Message<'_>, connection: u32) {
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

    fn wrong_type(&mut self, request: Arc<Request>) {
        COUNTERS.replies.count();
        COUNTERS.wrong_type.count();
        request.answer(Err(EIO));
    }

    fn unknown(&mut self, _id: u32) {
        COUNTERS.unknown_id.count();
    }

    fn abort(&mut self, transaction: u32) -> Option<Arc<Request>> {
        Request::abort(transaction).ok()
    }

    fn ended(&mut self, request: &Arc<Request>, why: End) {
        if let End::TimedOut { stalled } = why {
            COUNTERS.timeouts.count();
            if *self.complained == 0 || self.now.saturating_sub(*self.complained) > COMPLAINT_MS {
                *self.complained = self.now;
                complain(request, stalled);
            }
        }
        end(request, why);
    }

    fn failed(&mut self, failure: &Failure, way: Way) {
        COUNTERS.failures.count();
        match way {
            Way::Reconnect => {
                pr_warn!("xenstore: {failure}; asking xenstored for a new connection\n");
            }
            Way::Wait => pr_warn!(
                "xenstore: {failure}; requests fail until it goes on, and the guest hears nothing of the toolstack\n"
            ),
            Way::Break => pr_err!(
                "xenstore: {failure}; no more xenstore in this guest: what is connected goes on, but nothing can be \
                 attached or detached, and the guest hears nothing of the toolstack. Reboot it from inside, and look \
                 for errors of xenstored in dom0\n"
            ),
        }
    }

    fn began(&mut self) {
        COUNTERS.reconnects.count();
    }
}

/// Says in the log that a request got no reply.
fn complain(request: &Request, stalled: bool) {
    let (kind, path) = (request.kind, request.path());
    if stalled {
        pr_err!(
            "xenstore: no reply to request {kind} for {path}: xenstored does not finish what it has begun to say\n"
        );
    } else {
        pr_err!(
            "xenstore: no reply to request {kind} for {path} in time; does xenstored run, and is dom0 overloaded?\n"
        );
    }
}
