// SPDX-License-Identifier: GPL-2.0

//! The queue between the block layer and the backend.
//!
//! Requests live here, in a table by tag, from the moment the block layer hands them over until they are ended; the
//! connection comes and goes. So none is lost over a restore and none is ended twice.

mod batch;
mod done;
mod overdue;
mod slots;

use crate::{
    connection::{
        Connected,
        DEPTH, //
    },
    mq::{
        Late,
        Operation,
        Operations,
        Refused,
        Request, //
    },
    negotiate::Flush,
    wire::Response,
};
use batch::Batch;
use done::Done;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLockIrq, //
    }, //
};
use overdue::Overdue;
use rxenbus::{
    bus::{
        self,
        Device, //
    },
    evtchn::{
        Handler,
        Outcome, //
    }, //
};
use slots::Slots;

/// Where the queue's requests go.
pub(crate) enum Link {
    /// Nowhere yet, or not any more: requests wait in the block layer, whose queue is at rest.
    Detached,
    /// To the backend.
    Live(Connected),
    /// Nowhere: the backend broke the protocol, or the disk goes. Requests end in error.
    Failed(Option<Connected>),
}

/// How the backend broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Violation {
    /// It claims responses that cannot be.
    Index,
    /// A response for no request, or for another operation than was asked for.
    Response,
    /// It keeps pages mapped that it has answered for.
    Grant,
}

impl Violation {
    /// For the log.
    const fn describe(self) -> &'static str {
        match self {
            Self::Index => "claims responses that it cannot have produced",
            Self::Response => "answered a request that it was not sent",
            Self::Grant => "keeps pages of a request mapped that it has answered",
        }
    }
}

/// What the lock protects.
struct State {
    link: Link,
    slots: Slots,
    violation: Option<Violation>,
    overdue: Overdue,
}

/// The queue of one disk.
#[pin_data]
pub(crate) struct Queue {
    device: ARef<Device>,
    /// The number of the state that the backend was in last, for the log.
    backend: Atomic<u32>,
    #[pin]
    state: SpinLockIrq<State>,
}

impl Queue {
    /// A queue without a connection.
    pub(crate) fn new(device: ARef<Device>) -> Result<Arc<Self>> {
        let slots = Slots::new(DEPTH as usize)?;
        Arc::pin_init(
            pin_init!(Self {
                device,
                backend: Atomic::new(0),
                state <- new_spinlock_irq!(State {
                    link: Link::Detached,
                    slots,
                    violation: None,
                    overdue: Overdue::new(),
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Goes into operation on a connection. The queue must be at rest and without one. May sleep.
    pub(crate) fn attach(&self, connected: Connected) -> Result {
        let mut room = Slots::room(DEPTH as usize, connected.negotiated().max_segments as usize)?;
        let mut state = self.state.lock();
        state.slots.exchange_room(&mut room);
        state.violation = None;
        state.overdue = Overdue::new();
        let former = core::mem::replace(&mut state.link, Link::Live(connected));
        drop(state);
        // Freed without the lock: what the slots had before, and a link that had failed.
        drop(room);
        drop(former);
        Ok(())
    }

    /// Takes the connection away and puts the requests that it still had back into the block layer, oldest first. The
    /// queue must be at rest. Process context.
    pub(crate) fn detach(&self) {
        let (link, requests) = self.take(Link::Detached);
        requests.for_each(Request::requeue);
        drop(link);
    }

    /// Lets all requests fail from now on, also those that the backend has. The connection stays until `close`.
    pub(crate) fn fail(&self) {
        let mut state = self.state.lock();
        let requests = state.end_all_grants();
        state.link = match core::mem::replace(&mut state.link, Link::Detached) {
            Link::Live(connected) => Link::Failed(Some(connected)),
            Link::Failed(connected) => Link::Failed(connected),
            Link::Detached => Link::Failed(None),
        };
        drop(state);
        requests.for_each(|request| request.end(Err(EIO)));
    }

    /// Drops the connection; requests fail. Process context.
    pub(crate) fn close(&self) {
        let (link, requests) = self.take(Link::Failed(None));
        requests.for_each(|request| request.end(Err(EIO)));
        drop(link);
    }

    /// Makes a failed queue wait for a fresh connection.
    pub(crate) fn reset(&self) {
        let former = self.take(Link::Detached);
        drop(former);
    }

    /// Whether requests fail.
    pub(crate) fn is_failed(&self) -> bool {
        matches!(self.state.lock().link, Link::Failed(_))
    }

    /// Notes the state that the backend is in.
    pub(crate) fn note_backend(&self, state: bus::State) {
        self.backend.store(state.number(), Relaxed);
    }

    /// Whether nothing is done about requests that the backend has had for long, as while the device is parked.
    pub(crate) fn set_quiet(&self, quiet: bool) {
        self.state.lock().overdue.quiet = quiet;
    }

    /// Requests that the backend has.
    pub(crate) fn in_flight(&self) -> usize {
        self.state.lock().slots.in_use()
    }

    /// Replaces the link and takes all requests out.
    fn take(&self, link: Link) -> (Link, Batch<Request>) {
        let mut state = self.state.lock();
        let requests = state.end_all_grants();
        (core::mem::replace(&mut state.link, link), requests)
    }
}

impl State {
    /// Takes all requests out, oldest first, and ends their grants.
    fn end_all_grants(&mut self) -> Batch<Request> {
        let mut requests = Batch::new();
        while let Some((request, grants)) = self.slots.take_oldest() {
            if let Link::Live(connected) | Link::Failed(Some(connected)) = &mut self.link {
                connected.end_grants(&request, grants);
            }
            requests.push(request);
        }
        requests
    }

    /// Puts a request on the ring.
    fn issue(&mut self, mut request: Request) -> Result<(), Refused> {
        let connected = match &mut self.link {
            Link::Live(connected) => connected,
            Link::Detached => return Err(Refused(request, EBUSY)),
            Link::Failed(_) => return Err(Refused(request, EIO)),
        };
        let Some(slot) = self.slots.vacant(request.tag()) else {
            return Err(Refused(request, EIO));
        };
        let issued = match request.operation() {
            Operation::Read => connected.issue_data(&mut request, false, slot.grants()),
            Operation::Write => connected.issue_data(&mut request, true, slot.grants()),
            Operation::Flush => connected.issue_flush(&request),
            Operation::Discard => connected.issue_discard(&request, false),
            Operation::SecureErase => connected.issue_discard(&request, true),
            Operation::Other => Err(EOPNOTSUPP),
        };
        match issued {
            Ok(issued) => {
                slot.occupy(request, issued);
                Ok(())
            }
            Err(error) => {
                connected.end_grants(&request, slot.grants());
                // The block layer tries again after a while, also where nothing is in flight.
                let error = if error == ENOSPC { ENOMEM } else { error };
                Err(Refused(request, error))
            }
        }
    }

    /// Takes the responses that are there. What they end goes into `done`.
    fn take_responses(&mut self, done: &mut Batch<Done>) -> Result<(), Violation> {
        let Link::Live(connected) = &mut self.link else {
            return Ok(());
        };
        loop {
            while let Some((_, response)) = connected
                .ring
                .next_response()
                .map_err(|_| Violation::Index)?
            {
                let response = Response::from_words(response);
                let id = usize::try_from(response.id()).map_err(|_| Violation::Response)?;
                let (request, issued, grants) = self
                    .slots
                    .answered(id, response.operation())
                    .ok_or(Violation::Response)?;
                let released = connected.end_grants(&request, grants);
                done.push(Done::new(request, issued.bytes, &response));
                if !released {
                    return Err(Violation::Grant);
                }
            }
            if !connected.ring.rearm().map_err(|_| Violation::Index)? {
                return Ok(());
            }
        }
    }
}

impl Operations for Queue {
    fn queue(&self, request: Request, last: bool) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if request.operation() == Operation::Flush {
            if let Link::Live(connected) = &state.link {
                if connected.negotiated().flush == Flush::None {
                    drop(state);
                    request.end(Ok(()));
                    return Ok(());
                }
            }
        }
        let result = state.issue(request);
        if last || result.is_err() {
            state.publish();
        }
        result
    }

    fn commit(&self) {
        self.state.lock().publish();
    }

    fn overdue(&self, late: &Late<'_>) -> bool {
        let mut done = Batch::new();
        let mut state = self.state.lock();
        if !state.overdue.quiet {
            state.take_late(&mut done);
        }
        let is_waiting = state.slots.holds(late);
        let is_told = is_waiting && state.remind();
        drop(state);
        done.for_each(Done::finish);
        if is_told {
            dev_warn!(
                self.device.as_ref(),
                "no answer for {} s; the backend is {} and was notified again\n",
                late.seconds(),
                bus::State::from_number(self.backend.load(Relaxed)).name()
            );
        }
        is_waiting
    }
}

impl State {
    /// Shows the backend what is on the ring.
    fn publish(&mut self) {
        if let Link::Live(connected) = &mut self.link {
            connected.publish();
        }
    }

    /// Takes the responses that no event has told of.
    fn take_late(&mut self, done: &mut Batch<Done>) {
        let Err(violation) = self.take_responses(done) else {
            return;
        };
        self.violation = Some(violation);
        if let Link::Live(connected) = &self.link {
            connected.channel.stop();
        }
    }

    /// Sends the backend one more event, in case it has missed one. True if the log is to have a line about it.
    fn remind(&mut self) -> bool {
        let Link::Live(connected) = &mut self.link else {
            return false;
        };
        let ours = !self.overdue.quiet && self.violation.is_none();
        if !ours || !self.overdue.is_to_be_reminded() {
            return false;
        }
        connected.publish();
        connected.channel.notify();
        self.overdue.is_to_be_told()
    }
}

impl Handler for Queue {
    fn event(&self) -> Outcome {
        let mut done = Batch::new();
        let mut state = self.state.lock();
        let result = state.take_responses(&mut done);
        if let Err(violation) = result {
            state.violation = Some(violation);
        }
        drop(state);
        let outcome = match (result, done.is_empty()) {
            (Err(_), _) => Outcome::Stop,
            (Ok(()), true) => Outcome::Spurious,
            (Ok(()), false) => Outcome::Handled,
        };
        done.for_each(Done::finish);
        outcome
    }

    fn stopped(&self) {
        self.fail();
        let violation = self.state.lock().violation;
        let what = violation.map_or("broke the protocol", Violation::describe);
        self.device.fatal(
            EPROTO,
            fmt!(
                "the backend {}; the disk is disabled until it connects anew",
                what
            ),
        );
    }
}
