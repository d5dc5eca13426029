// SPDX-License-Identifier: GPL-2.0

//! The xenstore client.
//!
//! All functions may sleep. What a node holds was written by the other end or the toolstack; numbers are checked
//! against the range that the reader names.

use core::ops::{
    Deref,
    RangeInclusive, //
};
use kernel::{
    fmt,
    prelude::*,
    str::CString, //
};

pub mod backlog;
pub mod dispatch;
pub mod exchange;
pub mod framer;
#[cfg(CONFIG_XEN)]
mod hosted;
mod kunit;
pub mod listing;
pub mod matcher;
pub(crate) mod native;
mod owner;
pub mod phase;
pub mod retry;
pub mod ring;
pub mod session;
pub mod value;
pub mod wire;

/// How often a transaction is tried again after xenstored said that another one was in its way.
const TRANSACTION_ATTEMPTS: u32 = 100;

/// The bytes of a node.
pub struct Value(KVec<u8>);

impl Value {
    /// The value as text.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not UTF-8.
    pub fn as_str(&self) -> Result<&str> {
        core::str::from_utf8(&self.0).map_err(|_| EINVAL)
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A transaction that is open; see [`transaction`].
pub struct Transaction {
    id: u32,
    // The connection that it belongs to: a restore ends all transactions, and their numbers are used anew.
    connection: u32,
}

/// Reads a node of a directory.
///
/// # Errors
///
/// `ENOENT` if there is none, and what xenstored says.
pub fn read(directory: &CStr, node: &CStr) -> Result<Value> {
    owner::read(None, directory, node).map(Value)
}

/// Reads a node of a directory, as it is in a transaction.
///
/// # Errors
///
/// As [`read`].
pub fn read_in(transaction: &Transaction, directory: &CStr, node: &CStr) -> Result<Value> {
    owner::read(Some(transaction), directory, node).map(Value)
}

/// Reads an optional number.
///
/// Returns [`None`] if the node is absent.
///
/// # Errors
///
/// `EINVAL`, after a line in the log that names the node, if it holds anything but a number in the range.
pub fn read_number(
    directory: &CStr,
    node: &CStr,
    range: RangeInclusive<u64>,
) -> Result<Option<u64>> {
    let value = match read(directory, node) {
        Ok(value) => value,
        Err(error) if error == ENOENT => return Ok(None),
        Err(error) => return Err(error),
    };
    match value::number(&value, &range) {
        Ok(number) => Ok(Some(number)),
        Err(bad) => {
            pr_err!(
                "xenstore: {}/{}: {:?}, expected a number from {} to {}\n",
                directory,
                node,
                bad,
                range.start(),
                range.end()
            );
            Err(EINVAL)
        }
    }
}

/// Reads an optional flag: true where the node holds a number other than 0, false where it is absent or holds anything
/// else.
///
/// # Errors
///
/// What xenstored says, or that there was no answer: what the other end offers is not known then.
pub fn read_flag(directory: &CStr, node: &CStr) -> Result<bool> {
    match read(directory, node) {
        Ok(value) => Ok(value::number(&value, &(1..=u64::MAX)).is_ok()),
        Err(error) if error == ENOENT => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lists the names of a directory's nodes.
///
/// # Errors
///
/// What xenstored says, such as `ENOENT`; `ETIMEDOUT` in native mode if it does not answer; `EINVAL` for a listing that is
/// none.
pub fn list(directory: &CStr, node: &CStr) -> Result<KVec<CString>> {
    owner::list(directory, node)
}

/// Writes a node, in a transaction or by itself.
///
/// # Errors
///
/// What xenstored says, such as `EACCES`; `ETIMEDOUT` in native mode if it does not answer.
pub fn write(
    transaction: Option<&Transaction>,
    directory: &CStr,
    node: &CStr,
    value: fmt::Arguments<'_>,
) -> Result {
    let value = CString::try_from_fmt(value)?;
    owner::write(transaction, directory, node, &value)
}

/// Removes a node and all below it, in a transaction or by itself.
///
/// # Errors
///
/// As [`write()`].
pub fn remove(transaction: Option<&Transaction>, directory: &CStr, node: &CStr) -> Result {
    owner::remove(transaction, directory, node)
}

/// Runs `body` in a transaction and commits it; runs it again when another transaction was in its way, or when the
/// domain was restored in the meantime.
///
/// # Errors
///
/// What `body` returns, after the transaction was aborted; `EAGAIN` if it was in somebody's way 100 times.
pub fn transaction(mut body: impl FnMut(&Transaction) -> Result) -> Result {
    retry::bounded(TRANSACTION_ATTEMPTS, EAGAIN, owner::pause, || {
        let open = owner::transaction_start()?;
        if let Err(error) = body(&open) {
            // The error of `body` says more than that of the abort.
            let _ = owner::transaction_end(open, true);
            return Err(error);
        }
        owner::transaction_end(open, false)
    })
}

/// What is called when a watched node or one below it changes; in process context, one at a time. A disk may wait for
/// it: it must not wait for work on other queues, nor for another handler.
pub trait WatchHandler: Send + Sync + 'static {
    /// `path` is the node that changed, or the watched path itself where more has changed than was kept.
    fn changed(&self, path: &CStr);
}

/// A watch on a node and all below it. Dropping it ends the watch, waits until its handler is done, and lets go of the
/// handler; it must not be dropped in its own handler, nor in one for which its own may wait.
pub struct Watch(#[expect(dead_code)] owner::Watch);

impl Watch {
    /// Watches a path. The handler is called once at once.
    ///
    /// # Errors
    ///
    /// What xenstored says; in native mode `ETIMEDOUT` if it does not answer, or has not even taken the ends of former watches.
    pub fn new(path: &CStr, handler: kernel::sync::Arc<dyn WatchHandler>) -> Result<Self> {
        owner::Watch::new(path, handler).map(Self)
    }
}
