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

mod hosted;
pub mod value;

use hosted as owner;

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
pub struct Transaction(u32);

/// Reads a node of a directory.
///
/// # Errors
///
/// `ENOENT` if there is none, and what xenstored says.
pub fn read(directory: &CStr, node: &CStr) -> Result<Value> {
    owner::read(None, directory, node).map(Value)
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

/// Reads an optional flag: true where the node holds `1`, false where it is absent or holds anything else.
pub fn read_flag(directory: &CStr, node: &CStr) -> bool {
    match read(directory, node) {
        Ok(value) => value::number(&value, &(1..=1)).is_ok(),
        Err(_) => false,
    }
}

/// Tells whether a node exists.
pub fn exists(directory: &CStr, node: &CStr) -> bool {
    owner::exists(directory, node)
}

/// Lists the names of a directory's nodes.
pub fn list(directory: &CStr, node: &CStr) -> Result<KVec<CString>> {
    owner::list(directory, node)
}

/// Writes a node, in a transaction or by itself.
pub fn write(
    transaction: Option<&Transaction>,
    directory: &CStr,
    node: &CStr,
    value: fmt::Arguments<'_>,
) -> Result {
    let value = CString::try_from_fmt(value)?;
    owner::write(transaction.map(|open| open.0), directory, node, &value)
}

/// Removes a node and all below it, in a transaction or by itself.
pub fn remove(transaction: Option<&Transaction>, directory: &CStr, node: &CStr) -> Result {
    owner::remove(transaction.map(|open| open.0), directory, node)
}

/// Runs `body` in a transaction and commits it; runs it again when another transaction was in its way.
///
/// # Errors
///
/// What `body` returns, after the transaction was aborted; `EAGAIN` if it was in somebody's way 100 times.
pub fn transaction(mut body: impl FnMut(&Transaction) -> Result) -> Result {
    for _ in 0..TRANSACTION_ATTEMPTS {
        let open = Transaction(owner::transaction_start()?);
        if let Err(error) = body(&open) {
            // The error of `body` says more than that of the abort.
            let _ = owner::transaction_end(open.0, true);
            return Err(error);
        }
        match owner::transaction_end(open.0, false) {
            Err(error) if error == EAGAIN => continue,
            result => return result,
        }
    }
    Err(EAGAIN)
}

/// What is called when a watched node or one below it changes; in process context, one at a time.
pub trait WatchHandler: Send + Sync + 'static {
    /// `path` is the node that changed.
    fn changed(&self, path: &CStr);
}

/// A watch on a node and all below it. Dropping it ends the watch and waits until its handler is done; it must not be
/// dropped in its own handler.
pub struct Watch(#[expect(dead_code)] owner::Watch);

impl Watch {
    /// Watches a path. The handler is called once at once.
    pub fn new(path: &CStr, handler: kernel::sync::Arc<dyn WatchHandler>) -> Result<Self> {
        owner::Watch::new(path, handler).map(Self)
    }
}
