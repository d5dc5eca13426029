// SPDX-License-Identifier: GPL-2.0

//! The index arithmetic of a ring's front half, against the kernel's macros and against back ends that lie.

mod differential;
mod events;
mod front;
mod hostile;
mod model;
mod size;
