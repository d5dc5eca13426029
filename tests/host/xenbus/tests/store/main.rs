// SPDX-License-Identifier: GPL-2.0

//! The pure parts of the xenstore client.

mod anything;
mod backlog;
mod daemon;
mod endless;
mod framing;
mod hostile;
mod late;
mod listing;
mod matching;
mod retry;
mod ring;
mod session;
mod stalled;
mod traffic;
mod wire;
