// SPDX-License-Identifier: GPL-2.0

//! Why the connection to xenstored cannot go on, in words.

use super::super::{
    exchange::Failure,
    ring::Corrupt, //
};
use kernel::fmt;
use rxen_bindings as bindings;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(Corrupt::Theirs { before, claimed }) => {
                write!(f, "its index of the ring went from {before} to {claimed}")
            }
            Self::Ring(Corrupt::Ours { wrote, found }) => {
                write!(f, "our index of the ring was {wrote} and is now {found}")
            }
            Self::TooLong(long) => write!(f, "a message of {} bytes", long.header.length),
            Self::Server(bindings::XENSTORE_ERROR_COMM) => {
                write!(f, "it says that the event channel does not work")
            }
            Self::Server(bindings::XENSTORE_ERROR_RINGIDX) => {
                write!(f, "it says that an index of the ring is wrong")
            }
            Self::Server(bindings::XENSTORE_ERROR_PROTO) => {
                write!(f, "it says that a request was too long")
            }
            Self::Server(other) => write!(f, "it says error {other}"),
            Self::NoReconnect => write!(f, "it does not make a new connection"),
            Self::Stalled(milliseconds) => write!(
                f,
                "it has stopped in the middle of a message, {milliseconds} ms ago"
            ),
        }
    }
}
