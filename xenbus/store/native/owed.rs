// SPDX-License-Identifier: GPL-2.0

//! What this guest owes xenstored: the ends of watches and transactions, for whose replies nobody waits.
//!
//! They are made together with the watch or the transaction, so that its end needs no memory, and wait here without a
//! place among the requests, so that it never waits either.

use super::request::Request;
use kernel::{
    list::{
        List,
        ListArc, //
    },
    sync::Arc, //
};

/// How many may be owed before nothing is begun that would add to them.
pub(super) const OWED_MAX: usize = 1024;

/// The requests, the oldest first.
pub(super) struct Owed {
    requests: List<Request>,
    count: usize,
    // The connection over which they are owed; another one knows nothing of what they would end.
    connection: u32,
}

impl Owed {
    /// None.
    pub(super) const fn new() -> Self {
        Self {
            requests: List::new(),
            count: 0,
            connection: 0,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Adds a request that is owed over this connection. One that is here already stays where it is.
    pub(super) fn add(&mut self, request: Arc<Request>, connection: u32) {
        self.keep_only(connection);
        if let Some(request) = ListArc::try_from_arc_or_drop(request) {
            self.requests.push_back(request);
            self.count = self.count.saturating_add(1);
        }
    }

    /// Takes the next one that is owed over this connection.
    pub(super) fn take(&mut self, connection: u32) -> Option<Arc<Request>> {
        self.keep_only(connection);
        let request = self.requests.pop_front()?;
        self.count = self.count.saturating_sub(1);
        Some(request.into_arc())
    }

    /// Forgets what is owed over any other connection.
    fn keep_only(&mut self, connection: u32) {
        if self.connection != connection {
            *self = Self::new();
            self.connection = connection;
        }
    }
}
