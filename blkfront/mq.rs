// SPDX-License-Identifier: GPL-2.0

//! The part of the block layer that the `kernel` crate lacks, as safe types: a tag set with its queue's callbacks, a
//! disk with its limits, requests with their payload.
//!
//! The only place of this driver with `unsafe`.

mod bounce;
mod disk;
mod limits;
mod major;
mod request;
mod tag_set;

pub(crate) use disk::Disk;
pub(crate) use limits::Limits;
pub(crate) use major::Major;
pub(crate) use request::{
    Late,
    Operation,
    Request,
    Segment, //
};
pub(crate) use tag_set::{
    Operations,
    Refused,
    TagSet, //
};
