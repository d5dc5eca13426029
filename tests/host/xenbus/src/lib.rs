// SPDX-License-Identifier: GPL-2.0

//! The very files of xenbus/ that the module compiles, without the kernel: `core` is all they may use.

#![no_std]
#![forbid(unsafe_code)]

#[path = "../../../../xenbus/platform/decision.rs"]
pub mod decision;
pub mod grant;
#[path = "../../../../xenbus/ring/indices.rs"]
pub mod indices;
#[path = "../../../../xenbus/platform/unplug.rs"]
pub mod unplug;
/// As in the kernel, where one uses the other.
#[path = "../../../../xenbus/bus"]
pub mod bus {
    #[path = "admission.rs"]
    pub mod admission;
    #[path = "native/dialogue/otherend.rs"]
    pub mod otherend;
    #[path = "presence.rs"]
    pub mod presence;
    #[path = "state.rs"]
    pub mod state;
}
pub use bus::{
    otherend,
    presence,
    state, //
};
#[path = "../../../../xenbus/store/value.rs"]
pub mod value;

/// What of the xenstore client is pure.
#[path = "../../../../xenbus/store"]
pub mod store {
    pub use super::value;

    pub mod backlog;
    pub mod dispatch;
    pub mod exchange;
    pub mod framer;
    pub mod listing;
    pub mod matcher;
    pub mod phase;
    pub mod retry;
    pub mod ring;
    pub mod session;
    pub mod wire;
}

#[path = "../../../../xenbus/hypercall/wish.rs"]
pub mod hypercall_wish;

/// What of native event channels is pure.
#[path = "../../../../xenbus/evtchn/native"]
pub mod evtchn {
    pub mod bitmap;
    pub mod fifo;
    pub mod generation;
    pub mod keep;
    pub mod pace;
    pub mod port;
    pub mod shared;
    pub mod turn;
}
