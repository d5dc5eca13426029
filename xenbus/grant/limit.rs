// SPDX-License-Identifier: GPL-2.0

//! How much memory the other end can keep by not letting go of it: pure, checked on the build machine.
//!
//! A backend may have a frontend connect again and again. If it keeps the pages of each connection mapped, every round
//! costs the guest a connection's pages and grant references, until no device has any left, those of other domains
//! included (G2 and X12 of the hostile backend).

/// How many pages of former connections a device may have that the other end still has mapped: 8 MiB. A card with one
/// pair of rings lends some 500, so that a backend that was killed in the middle of its work, whose pages stay mapped
/// until its domain is gone, is no reason to refuse the next one.
pub const MOST_DEFERRED: usize = 2048;

/// Whether a device may lend more pages while so many of its former connections are still mapped.
pub const fn may_lend(deferred: usize) -> bool {
    deferred < MOST_DEFERRED
}
