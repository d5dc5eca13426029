// SPDX-License-Identifier: GPL-2.0

//! Frames made of receive slots: those of honest back ends, and those of back ends that lie.

mod backend;
mod faults;
mod honest;
mod hostile;
