// SPDX-License-Identifier: GPL-2.0

//! What the C side does: the kernel's own headers and code, for the tests to compare with.
//!
//! The constants and structures are those that gcc sees; nothing is written down a second time here.

mod block;
mod bus;
mod naming;
mod net;
mod ring;

pub use block::Block;
pub use bus::states;
pub use naming::{
    place,
    Place, //
};
pub use net::{
    Limits,
    Net, //
};
pub use ring::{
    Ring,
    Shared,
    Slots, //
};
