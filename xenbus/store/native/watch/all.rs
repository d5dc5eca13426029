// SPDX-License-Identifier: GPL-2.0

//! All watches: whom an event is for, and telling xenstored of them again after a new beginning.

use super::{
    super::{
        super::{
            dispatch::{
                self,
                Nobody, //
            },
            session::REWATCH_MS,
            wire::Token, //
        },
        connection::{
            Connection,
            NoIo, //
        },
        report::COUNTERS, //
    },
    Watched, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};

/// All watches, in the order of their tokens.
#[pin_data]
pub(in super::super) struct Watches {
    #[pin]
    list: Mutex<KVec<Arc<Watched>>>,
    // The connection of which the log says that not all could be registered again.
    complained: Atomic<u32>,
}

impl Watches {
    /// None yet.
    pub(in super::super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(KVec::new()),
            complained: Atomic::new(0),
        })
    }

    /// How many there are.
    pub(in super::super) fn len(&self) -> usize {
        self.list.lock().len()
    }

    /// Hands an event of xenstored to the watch that it is for.
    pub(in super::super) fn event(&self, payload: &[u8]) {
        COUNTERS.events.count();
        // Held until the event is in the backlog: a watch that was removed gets none any more.
        let list = self.list.lock();
        match dispatch::find(&list, |watch| watch.token, payload) {
            Ok((watch, path)) => Watched::push(watch, path),
            Err(Nobody::Malformed) => COUNTERS.malformed_events.count(),
            Err(Nobody::Unknown) => COUNTERS.unknown_token.count(),
        }
    }

    /// The caller allocates without waiting for a disk: whoever moves messages takes this lock.
    pub(super) fn add(&self, watch: Arc<Watched>) -> Result {
        let mut list = self.list.lock();
        list.reserve(1, GFP_KERNEL)?;
        let place = list.partition_point(|other| other.token < watch.token);
        list.insert_within_capacity(place, watch)
            .map_err(|_| ENOMEM)
    }

    pub(super) fn remove(&self, token: Token) {
        self.list.lock().retain(|watch| watch.token != token);
    }

    /// The first watch whose token is greater.
    fn next_after(&self, token: Option<Token>) -> Option<Arc<Watched>> {
        let list = self.list.lock();
        let place = token.map_or(0, |token| {
            list.partition_point(|watch| watch.token <= token)
        });
        list.get(place).cloned()
    }

    /// Tells xenstored of all watches that it does not know, such as after a new beginning. Those for which that fails
    /// are owed: it is tried anew.
    pub(in super::super) fn register_all(connection: &Arc<Connection>) {
        let _memory = NoIo::begin();
        let watches = &connection.watches;
        let mut failed = 0usize;
        let mut first = None;
        let mut last = None;
        while let Some(watch) = watches.next_after(last) {
            last = Some(watch.token);
            let heard = connection.heard();
            match watch.register(connection) {
                Ok(()) => {}
                // The module goes.
                Err(error) if error == ENODEV => return,
                // Where there is no answer, each of the others would wait for one as long as this has.
                Err(error) if error == ETIMEDOUT || error == EIO => {
                    return owe(connection, &watch, error, heard);
                }
                Err(error) => {
                    failed = failed.saturating_add(1);
                    first.get_or_insert((watch, error));
                }
            }
        }
        if first.is_some() {
            connection.register_later();
        }
        watches.say(connection.number(), first, failed);
    }

    /// Says in the log whether all watches are registered again, where that is news.
    fn say(&self, connection: u32, first: Option<(Arc<Watched>, Error)>, failed: usize) {
        let Some((watch, error)) = first else {
            if self.complained.xchg(0, Relaxed) != 0 {
                pr_info!("xenstore: all watches are registered again\n");
            }
            return;
        };
        if self.complained.xchg(connection, Relaxed) != connection {
            pr_err!(
                "xenstore: cannot watch {} again ({:?}), nor {} others: changes there are not noticed; tried anew every \
                 {} seconds\n",
                &*watch.path,
                error,
                failed.saturating_sub(1),
                REWATCH_MS / 1000
            );
        }
    }
}

/// Has all watches registered again when xenstored says something.
fn owe(connection: &Arc<Connection>, watch: &Watched, error: Error, heard: u64) {
    pr_err!(
        "xenstore: cannot watch {} and others again ({:?}): tried anew when xenstored says something\n",
        &*watch.path,
        error
    );
    // A refusal was a message too: only one after it is a sign.
    let since = if error == ETIMEDOUT {
        heard
    } else {
        connection.heard()
    };
    connection.owe_watches(since);
}
