// SPDX-License-Identifier: GPL-2.0

//! The connection to xenstored, as those see it who have requests or watches.
//!
//! Whoever has a request moves messages himself ([`Connection::pump`]); else a work item does, when xenstored sends an
//! event, or after a while in case an event got lost. Moving messages never waits: a reply is handed to its thread or
//! open file, an event is put into the backlog of its watch, and the handlers run elsewhere.

use super::{
    super::{
        phase::Phase,
        Transaction, //
    },
    link::Link,
    now_ms,
    owed::OWED_MAX,
    report::COUNTERS,
    request::{
        Answer,
        Request, //
    },
    state::State,
    watch::Watches, //
};
use crate::evtchn::Channel;
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
    },
    types::NotThreadSafe,
    workqueue::{
        impl_has_work,
        new_work,
        Queue,
        Work,
        WorkItem, //
    }, //
};
use rxen_bindings as bindings;

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
    // Registers all watches again. Part of the connection, so that it never lacks memory.
    #[pin]
    rewatch: Work<Connection>,
}

impl_has_work! {
    impl HasWork<Self> for Connection { self.rewatch }
}

impl WorkItem for Connection {
    type Pointer = Arc<Connection>;

    fn run(this: Arc<Connection>) {
        Watches::register_all(&this);
    }
}

impl Connection {
    /// Over a ring that is mapped. Without a channel the ring is looked at all the time.
    pub(super) fn new(link: Link, limit: u32, first_number: u32) -> Result<Arc<Self>> {
        let state = State::new(link, limit, first_number)?;
        Arc::pin_init(
            pin_init!(Self {
                watches <- Watches::new(),
                limit,
                state <- new_mutex!(state),
                rewatch <- new_work!("rxen rewatch"),
            }),
            GFP_KERNEL,
        )
    }

    /// Sets the port of xenstored's events, over which it is told of requests as long as there is no channel.
    pub(super) fn set_port(&self, port: u32) {
        let mut state = self.state.lock();
        state.port = Some(port);
        // Of what was written before.
        state.notify();
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
        state.round(&self.watches);
        let has_channel = state.channel.is_some();
        if let Some(tick) = state.session.tick(has_channel, self.watches.len() > 0) {
            // SAFETY: The queues exist as long as a connection that is not closed.
            unsafe { bindings::rxen_store_tick(tick) };
        }
        core::mem::take(&mut state.session.rewatch)
    }

    /// Has all watches registered again, soon and elsewhere.
    pub(super) fn register_again(self: &Arc<Self>) {
        // SAFETY: The queue exists as long as a connection that is not closed.
        let queue = unsafe { Queue::from_raw(bindings::rxen_store_watches()) };
        // Where it is queued already, it has not begun.
        let _ = queue.enqueue(self.clone());
    }

    /// Changes whenever xenstored has said something.
    pub(super) fn heard(&self) -> u64 {
        self.state.lock().session.heard
    }

    /// Has all watches registered again with the first message of xenstored since `heard` was read.
    pub(super) fn owe_watches(self: &Arc<Self>, heard: u64) {
        let mut state = self.state.lock();
        if state.session.heard == heard {
            state.session.owes_watches = true;
        } else {
            drop(state);
            self.register_again();
        }
    }

    /// Has all watches registered again after a while.
    pub(super) fn register_later(&self) {
        self.state.lock().session.rewatch_later(now_ms());
    }

    /// The number of the connection; a restore and a new beginning make it another one.
    pub(super) fn number(&self) -> u32 {
        self.state.lock().session.connection
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
            match state.session.phase() {
                Phase::Open | Phase::Reconnecting { .. } => {}
                Phase::Broken => return Err(EIO),
                Phase::Closed => return Err(ENODEV),
            }
            if request.transaction != 0 && connection != state.session.connection {
                return Err(EAGAIN);
            }
            match state.add(request) {
                Ok(()) => break,
                Err(back) => request = back,
            }
            drop(state);
            patience = patience.checked_sub(1).ok_or(ETIMEDOUT)?;
            fsleep(Delta::from_millis(5));
        }
        COUNTERS.requests.count();
        Ok(())
    }

    /// Has a request sent as soon as there is room for it, which ends something that only the connection with this number
    /// knows of; nobody waits for the reply. Needs no memory and does not wait. [`Self::pump`] sends it.
    pub(super) fn owe(&self, request: Arc<Request>, over: u32) {
        self.state.lock().owe(request, over);
    }

    /// As [`Self::owe`], for something that the present connection knows of.
    pub(super) fn owe_now(&self, request: Arc<Request>) {
        let mut state = self.state.lock();
        let over = state.session.connection;
        state.owe(request, over);
    }

    /// Whether so much is owed that nothing is to be begun which would have to be ended.
    pub(super) fn owes_too_much(&self) -> bool {
        self.state.lock().owed.len() >= OWED_MAX
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
            state.session.requests.give_up(this, |_| {});
            drop(state);
            return request.wait(0).unwrap_or(Err(ETIMEDOUT));
        }
    }

    /// A transaction was opened.
    pub(super) fn opened(&self, transaction: &Transaction) {
        let session = &mut self.state.lock().session;
        if transaction.connection == session.connection {
            session.transactions = session.transactions.saturating_add(1);
        }
    }

    /// A transaction has come to its end, one way or another.
    pub(super) fn ended(&self, transaction: &Transaction) {
        let session = &mut self.state.lock().session;
        if transaction.connection == session.connection {
            session.transactions = session.transactions.saturating_sub(1);
        }
    }

    /// Lets what is under way come to its end and holds back what is new; then nobody touches the ring any more.
    ///
    /// # Errors
    ///
    /// `ETIME` if so many milliseconds are not enough; then nothing is held back.
    pub(super) fn park(&self, limit: u32) -> Result {
        self.state.lock().session.holding = true;
        let until = now_ms() + u64::from(limit);
        loop {
            let rewatch = self.pump();
            let mut state = self.state.lock();
            // Nothing new is sent now; who moves messages afterwards has it done.
            state.session.rewatch |= rewatch;
            if state.session.is_quiet() {
                state.parked = true;
                return Ok(());
            }
            if now_ms() >= until {
                let session = &mut state.session;
                let middle = if session.is_between_messages() {
                    ""
                } else {
                    ", and xenstored is in the middle of a message"
                };
                pr_err!(
                    "xenstore: not ready for a suspend: {} requests without reply, {} open transactions{}\n",
                    session.requests.in_flight(),
                    session.transactions,
                    middle
                );
                session.holding = false;
                return Err(ETIME);
            }
            drop(state);
            fsleep(Delta::from_millis(5));
        }
    }

    /// Goes on with the same connection.
    pub(super) fn unpark(&self) {
        let mut state = self.state.lock();
        state.session.holding = false;
        state.parked = false;
        state.session.go_on(now_ms());
    }

    /// Takes the channel of the former connection away, so that it can be dropped where that may wait.
    pub(super) fn take_channel(&self) -> Option<Channel> {
        let mut state = self.state.lock();
        state.port = None;
        state.channel.take()
    }

    /// Goes on with a new ring. What was sent and has no reply is sent again.
    pub(super) fn replace(&self, link: Link) {
        let former = self.state.lock().replace(link);
        drop(former);
    }

    /// Gives up: all requests end in an error.
    pub(super) fn give_up(&self) {
        self.state.lock().give_up();
    }

    /// Waits until nothing is under way, for so many milliseconds at the most, then lets go of ring and channel.
    pub(super) fn close(&self, limit: u32) {
        let until = now_ms() + u64::from(limit);
        loop {
            let _ = self.pump();
            let state = self.state.lock();
            if state.is_settled() || state.session.phase() != Phase::Open || now_ms() >= until {
                break;
            }
            drop(state);
            fsleep(Delta::from_millis(5));
        }
        let mut state = self.state.lock();
        let (channel, link) = (state.channel.take(), state.close());
        drop(state);
        drop(channel);
        drop(link);
    }

    /// For the debugfs file.
    pub(super) fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.lock().describe(f)?;
        f.write_fmt(fmt!("watches {}\n", self.watches.len()))
    }
}

/// While this lives, the thread allocates memory without waiting for a disk, which may wait for xenstore itself.
pub(crate) struct NoIo(c_uint, NotThreadSafe);

impl NoIo {
    /// From now on.
    pub(crate) fn begin() -> Self {
        // SAFETY: Sets a flag of this thread; `drop` puts it back.
        Self(unsafe { bindings::rxen_noio_begin() }, NotThreadSafe)
    }
}

impl Drop for NoIo {
    fn drop(&mut self) {
        // SAFETY: What `begin` returned, and values of this type do not leave their thread.
        unsafe { bindings::rxen_noio_end(self.0) }
    }
}
