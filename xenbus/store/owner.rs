// SPDX-License-Identifier: GPL-2.0

//! The client, by way of the implementation that serves this machine.

#[cfg(CONFIG_XEN)]
use super::hosted;
use super::{
    native,
    Transaction,
    WatchHandler, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// Reads a node.
pub(super) fn read(
    transaction: Option<&Transaction>,
    directory: &CStr,
    node: &CStr,
) -> Result<KVec<u8>> {
    by_mode! {
        native: native::read(transaction, directory, node),
        hosted: hosted::read(transaction, directory, node),
    }
}

/// Lists a directory.
pub(super) fn list(directory: &CStr, node: &CStr) -> Result<KVec<CString>> {
    by_mode! {
        native: native::list(directory, node),
        hosted: hosted::list(directory, node),
    }
}

/// Writes a node.
pub(super) fn write(
    transaction: Option<&Transaction>,
    directory: &CStr,
    node: &CStr,
    value: &CStr,
) -> Result {
    by_mode! {
        native: native::write(transaction, directory, node, value),
        hosted: hosted::write(transaction, directory, node, value),
    }
}

/// Removes a node.
pub(super) fn remove(transaction: Option<&Transaction>, directory: &CStr, node: &CStr) -> Result {
    by_mode! {
        native: native::remove(transaction, directory, node),
        hosted: hosted::remove(transaction, directory, node),
    }
}

/// Opens a transaction.
pub(super) fn transaction_start() -> Result<Transaction> {
    by_mode! {
        native: native::transaction_start(),
        hosted: hosted::transaction_start(),
    }
}

/// Commits or aborts a transaction.
pub(super) fn transaction_end(transaction: Transaction, abort: bool) -> Result {
    by_mode! {
        native: native::transaction_end(transaction, abort),
        hosted: hosted::transaction_end(transaction, abort),
    }
}

/// Waits before a transaction is tried again.
pub(super) fn pause(attempt: u32) {
    by_mode! {
        native: native::pause(attempt),
        // As before: at once.
        hosted: {
            let _ = attempt;
        },
    }
}

/// A registered watch.
pub(super) enum Watch {
    /// Of the native client.
    Native(#[expect(dead_code)] native::Watch),
    /// Of the kernel's C client.
    #[cfg(CONFIG_XEN)]
    Hosted(#[expect(dead_code)] hosted::Watch),
}

impl Watch {
    /// Registers a watch.
    pub(super) fn new(path: &CStr, handler: Arc<dyn WatchHandler>) -> Result<Self> {
        by_mode! {
            native: native::Watch::new(path, handler).map(Self::Native),
            hosted: hosted::Watch::new(path, handler).map(Self::Hosted),
        }
    }
}
