// SPDX-License-Identifier: GPL-2.0

//! What becomes of a request that is back.

use crate::{
    mq::Request,
    wire::{
        operation,
        Response,
        Status, //
    }, //
};
use kernel::prelude::*;

/// A request that the backend has answered.
pub(super) struct Done {
    request: Request,
    /// What this round carried.
    bytes: u32,
    result: Result,
}

impl Done {
    /// From the response.
    pub(super) fn new(request: Request, bytes: u32, response: &Response) -> Self {
        let flush = matches!(
            response.operation(),
            operation::FLUSH | operation::WRITE_BARRIER
        );
        let result = match response.status() {
            Status::Okay => Ok(()),
            // A backend may find out at any time that it cannot flush: its storage has no cache, then.
            Status::NotSupported if flush && bytes == 0 => Ok(()),
            Status::NotSupported if response.operation() == operation::DISCARD => Err(EOPNOTSUPP),
            Status::NotSupported | Status::Error => Err(EIO),
        };
        Self {
            request,
            bytes,
            result,
        }
    }

    /// Ends the request, or the part of it that this round carried. Without the queue's lock.
    pub(super) fn finish(self) {
        if self.result.is_ok() && self.bytes != 0 && self.bytes < self.request.bytes() {
            return self.request.end_part(self.bytes);
        }
        if self.result == Err(EOPNOTSUPP) {
            self.request.disable_discard();
        }
        self.request.end(self.result);
    }
}
