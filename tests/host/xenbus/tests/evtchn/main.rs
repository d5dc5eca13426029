// SPDX-License-Identifier: GPL-2.0

//! Event channels of the native mode, against a model of the hypervisor.

mod bitmap;
mod fifo;
mod generation;
mod hypercall;
mod keep;
mod pace;
mod port;
mod races;
mod xen;
