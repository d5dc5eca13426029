// SPDX-License-Identifier: GPL-2.0

//! What a session with xenstored is doing, and what comes next: pure, shared by `session` and those it works for.

/// What the session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Messages move.
    Open,
    /// xenstored is to give the connection a new beginning.
    Reconnecting {
        /// By this time.
        until: u64,
        /// It may have been stopped and make it later: then requests end, but not the session.
        patient: bool,
    },
    /// Nothing moves any more.
    Broken,
    /// The module goes.
    Closed,
}

impl Phase {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Reconnecting { .. } => "reconnecting",
            Self::Broken => "broken",
            Self::Closed => "closed",
        }
    }
}

/// What comes after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// xenstored is asked for a new beginning.
    Reconnect,
    /// It may go on by itself.
    Wait,
    /// Nothing: the session is broken.
    Break,
}

/// What a round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// xenstored is to be told that there is something new in the ring.
    pub notify: bool,
    /// There may be more to receive; others get their turn first.
    pub more: bool,
}
