// SPDX-License-Identifier: GPL-2.0

//! Watches: each has its own backlog and its own work item, so events come in order per watch, and a slow handler keeps
//! nobody waiting but its own watch.

use super::{
    super::{
        backlog::{
            Backlog,
            Event, //
        },
        dispatch::{
            self,
            Kept, //
        },
        wire::{
            kind,
            Token, //
        },
        WatchHandler, //
    },
    connection::{
        Connection,
        NoIo, //
    },
    report::COUNTERS,
    request::{
        Recipient,
        Request, //
    }, //
};
use kernel::{
    new_condvar,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        CondVar,
        Mutex, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Queue,
        Work,
        WorkItem, //
    }, //
};
use rxen_bindings as bindings;

mod all;

pub(super) use all::Watches;

/// Events that are kept for a watch before further ones become one.
const BACKLOG: usize = 32;

/// The next token; the upper half is another one for each load of the module.
static NEXT_TOKEN: Atomic<u64> = Atomic::new(0);

/// Makes the tokens of this load other ones than those of the last.
pub(super) fn seed_tokens(seed: u32) {
    NEXT_TOKEN.store(u64::from(seed) << 32, Relaxed);
}

/// What the handler of a watch has not seen, and what it is doing.
struct Pending {
    backlog: Backlog<KVec<u8>, KVec<Option<KVec<u8>>>>,
    // Gone once the watch has ended: others may have references to the watch for a moment longer, and the handler may be
    // code of a module that is unloaded by then.
    handler: Option<Arc<dyn WatchHandler>>,
    // The thread in which the handler runs.
    runner: Option<i32>,
}

/// What is done next: this handler is told of this event.
type Next = (Arc<dyn WatchHandler>, Event<KVec<u8>>);

/// What xenstored is to know of a watch.
struct Wish {
    // Whether it is to know it.
    wanted: bool,
    // Whether it is being told of it; who does that tells it of the end as well where that has come meanwhile.
    telling: bool,
    // The connection over which it was told last.
    told: Option<u32>,
}

/// A watch, as xenstored's events and the work queue see it.
#[pin_data]
pub(super) struct Watched {
    token: Token,
    path: CString,
    // Tells xenstored of the end; made beforehand, because that must not fail.
    unwatch: Arc<Request>,
    // Held while xenstored is being told of the watch. Its end does not wait for this.
    #[pin]
    teller: Mutex<()>,
    // Held for a moment only.
    #[pin]
    wish: Mutex<Wish>,
    #[pin]
    pending: Mutex<Pending>,
    #[pin]
    idle: CondVar,
    #[pin]
    work: Work<Watched>,
}

impl_has_work! {
    impl HasWork<Self> for Watched { self.work }
}

impl WorkItem for Watched {
    type Pointer = Arc<Watched>;

    fn run(this: Arc<Watched>) {
        // The handler is let go before the next event is taken: from then on nobody waits for it.
        while let Some((handler, event)) = this.next_event() {
            let path = match &event {
                Event::Changed(path) => CStr::from_bytes_with_nul(path).unwrap_or(&this.path),
                Event::Overflow => &this.path,
            };
            handler.changed(path);
        }
    }
}

impl Watched {
    fn new(path: &CStr, handler: Arc<dyn WatchHandler>) -> Result<Arc<Self>> {
        let mut places = KVec::with_capacity(BACKLOG, GFP_KERNEL)?;
        for _ in 0..BACKLOG {
            places.push(None, GFP_KERNEL)?;
        }
        let token = Token(NEXT_TOKEN.fetch_add(1, Relaxed));
        let end = payload(path, token)?;
        let unwatch = Request::new(kind::UNWATCH, 0, end, Recipient::Nobody)?;
        let path = CString::try_from(path)?;
        let wish = Wish {
            wanted: true,
            telling: false,
            told: None,
        };
        let pending = Pending {
            backlog: Backlog::new(places),
            handler: Some(handler),
            runner: None,
        };
        Arc::pin_init(
            pin_init!(Self {
                token,
                path,
                unwatch,
                teller <- new_mutex!(()),
                wish <- new_mutex!(wish),
                pending <- new_mutex!(pending),
                idle <- new_condvar!(),
                work <- new_work!("rxen watch"),
            }),
            GFP_KERNEL,
        )
    }

    /// Adds an event to the backlog and has the handler called.
    fn push(this: &Arc<Self>, path: &[u8]) {
        let mut pending = this.pending.lock();
        let watched = this.path.to_bytes();
        match dispatch::keep(&mut pending.backlog, watched, path, |path| {
            with_nul(path).ok()
        }) {
            Kept::Whole => {}
            Kept::Merged => COUNTERS.merged.count(),
            Kept::Foreign => COUNTERS.foreign_path.count(),
            Kept::NoMemory => COUNTERS.no_memory.count(),
        }
        drop(pending);
        // SAFETY: The queue exists as long as a connection that is not closed, and events come over one.
        let queue = unsafe { Queue::from_raw(bindings::rxen_store_watches()) };
        // Where it is queued already, it finds this event as well.
        let _ = queue.enqueue(this.clone());
    }

    /// The handler is done with the last event; takes the next.
    fn next_event(&self) -> Option<Next> {
        let mut pending = self.pending.lock();
        let Some(handler) = pending.handler.clone() else {
            pending.runner = None;
            self.idle.notify_all();
            return None;
        };
        let event = pending.backlog.pop();
        pending.runner = event.as_ref().map(|_| current!().pid());
        event.map(|event| (handler, event))
    }

    /// Has the handler not called any more, waits until it is done, unless it is the handler that says this, and lets go
    /// of it.
    ///
    /// Only for a call that is running now: no further one begins. There is no limit of its own, because the handler may
    /// be code of a module that is unloaded next; the wait ends with the handler, whose own waits all have limits. Nothing
    /// that xenstored does or leaves can make it longer than those.
    fn end(&self) {
        let mut pending = self.pending.lock();
        let handler = pending.handler.take();
        pending.backlog.clear();
        while pending
            .runner
            .is_some_and(|runner| runner != current!().pid())
        {
            self.idle.wait(&mut pending);
        }
        drop(pending);
        drop(handler);
    }

    /// Tells xenstored, unless it knows or the watch has ended.
    fn register(&self, connection: &Arc<Connection>) -> Result {
        let _teller = self.teller.lock();
        let present = connection.number();
        {
            let mut wish = self.wish.lock();
            if !wish.wanted || wish.told == Some(present) {
                return Ok(());
            }
            wish.telling = true;
        }
        let told = self.tell(connection);
        let wanted = {
            let mut wish = self.wish.lock();
            wish.telling = false;
            wish.told = told.ok();
            wish.wanted
        };
        if !wanted {
            self.end_at(connection);
        }
        told.map(|_| ())
    }

    /// Returns the connection over which xenstored was told.
    fn tell(&self, connection: &Arc<Connection>) -> Result<u32> {
        let payload = payload(&self.path, self.token)?;
        let reply = super::ask(connection, kind::WATCH, None, payload)?;
        let over = reply.connection;
        match reply.into_payload() {
            // It had heard of it when the answer got lost.
            Err(error) if error == EEXIST => Ok(over),
            result => result.map(|_| over),
        }
    }

    /// Has xenstored told of the end, for whose answer nobody waits: what still comes for the token is ignored.
    fn end_at(&self, connection: &Arc<Connection>) {
        connection.owe_now(self.unwatch.clone());
        super::pump(connection);
    }
}

/// What requests say of a watch: path and token.
fn payload(path: &CStr, token: Token) -> Result<KVec<u8>> {
    let mut payload = KVec::new();
    payload.extend_from_slice(path.to_bytes_with_nul(), GFP_KERNEL)?;
    payload.extend_from_slice(token.text().as_bytes_with_nul(), GFP_KERNEL)?;
    Ok(payload)
}

/// A copy with an ending NUL.
fn with_nul(path: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::with_capacity(path.len() + 1, GFP_KERNEL)?;
    copy.extend_from_slice(path, GFP_KERNEL)?;
    copy.push(0, GFP_KERNEL)?;
    Ok(copy)
}

/// A registered watch. Dropping it ends the watch, waits until its handler is done, and lets go of the handler. It does
/// not wait for xenstored, and cannot fail.
pub(crate) struct Watch(Arc<Watched>);

impl Watch {
    /// Watches a path. The handler is called once at once.
    ///
    /// # Errors
    ///
    /// What xenstored says; `ETIMEDOUT` if it does not answer, or does not even take the ends of former watches.
    pub(crate) fn new(path: &CStr, handler: Arc<dyn WatchHandler>) -> Result<Self> {
        let _memory = NoIo::begin();
        let connection = super::connection()?;
        if connection.owes_too_much() {
            return Err(ETIMEDOUT);
        }
        let watched = Watched::new(path, handler)?;
        connection.watches.add(watched.clone())?;
        // Ends it if xenstored does not take it.
        let watch = Self(watched);
        watch.0.register(&connection)?;
        Ok(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _memory = NoIo::begin();
        let telling = {
            let mut wish = self.0.wish.lock();
            wish.wanted = false;
            wish.telling
        };
        if let Ok(connection) = super::connection() {
            connection.watches.remove(self.0.token);
            if !telling {
                self.0.end_at(&connection);
            }
        }
        self.0.end();
    }
}
