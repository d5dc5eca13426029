// SPDX-License-Identifier: GPL-2.0

//! xenstore by way of the kernel's C client (`include/xen/xenbus.h`).

use super::{
    Transaction,
    WatchHandler, //
};
use core::ptr::NonNull;
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    str::CString,
    sync::Arc,
    types::Opaque, //
};
use rxen_bindings as bindings;

/// The identifier of an open transaction; 0 is none (`XBT_NIL`).
fn raw(transaction: Option<&Transaction>) -> bindings::xenbus_transaction {
    bindings::xenbus_transaction {
        id: transaction.map_or(0, |open| open.id),
    }
}

/// Memory that the C client allocated with kmalloc.
struct Allocated<T>(NonNull<T>);

impl<T> Drop for Allocated<T> {
    fn drop(&mut self) {
        // SAFETY: The C client hands ownership of a kmalloc'ed buffer to its caller; it is freed once, here.
        unsafe { bindings::kfree(self.0.as_ptr().cast()) }
    }
}

/// Reads a node.
pub(super) fn read(
    transaction: Option<&Transaction>,
    directory: &CStr,
    node: &CStr,
) -> Result<KVec<u8>> {
    let mut length: c_uint = 0;
    // SAFETY: Both strings end with a NUL; `length` is written before a successful return.
    let buffer = from_err_ptr(unsafe {
        bindings::xenbus_read(
            raw(transaction),
            directory.as_char_ptr(),
            node.as_char_ptr(),
            &mut length,
        )
    })?;
    let buffer = Allocated(NonNull::new(buffer.cast::<u8>()).ok_or(EIO)?);
    // SAFETY: On success the buffer has `length` initialised bytes (xs_talkv allocates one more for a NUL).
    let bytes = unsafe { core::slice::from_raw_parts(buffer.0.as_ptr(), length as usize) };
    let mut value = KVec::with_capacity(bytes.len(), GFP_KERNEL)?;
    value.extend_from_slice(bytes, GFP_KERNEL)?;
    Ok(value)
}

/// Lists a directory.
pub(super) fn list(directory: &CStr, node: &CStr) -> Result<KVec<CString>> {
    let mut count: c_uint = 0;
    // SAFETY: Both strings end with a NUL; `count` is written before a successful return.
    let names = from_err_ptr(unsafe {
        bindings::xenbus_directory(
            raw(None),
            directory.as_char_ptr(),
            node.as_char_ptr(),
            &mut count,
        )
    })?;
    let names = Allocated(NonNull::new(names).ok_or(EIO)?);
    let mut list = KVec::with_capacity(count as usize, GFP_KERNEL)?;
    for index in 0..count as usize {
        // SAFETY: On success the array has `count` pointers to strings that lie in the same allocation.
        let name = unsafe { CStr::from_char_ptr(*names.0.as_ptr().add(index)) };
        list.push(CString::try_from(name)?, GFP_KERNEL)?;
    }
    Ok(list)
}

/// Writes a node.
pub(super) fn write(
    transaction: Option<&Transaction>,
    directory: &CStr,
    node: &CStr,
    value: &CStr,
) -> Result {
    // SAFETY: All strings end with a NUL.
    to_result(unsafe {
        bindings::xenbus_write(
            raw(transaction),
            directory.as_char_ptr(),
            node.as_char_ptr(),
            value.as_char_ptr(),
        )
    })
}

/// Removes a node.
pub(super) fn remove(transaction: Option<&Transaction>, directory: &CStr, node: &CStr) -> Result {
    // SAFETY: Both strings end with a NUL.
    to_result(unsafe {
        bindings::xenbus_rm(
            raw(transaction),
            directory.as_char_ptr(),
            node.as_char_ptr(),
        )
    })
}

/// Opens a transaction.
pub(super) fn transaction_start() -> Result<Transaction> {
    let mut transaction = raw(None);
    // SAFETY: `transaction` is valid for the write.
    to_result(unsafe { bindings::xenbus_transaction_start(&mut transaction) })?;
    Ok(Transaction {
        id: transaction.id,
        connection: 0,
    })
}

/// Commits or aborts a transaction.
pub(super) fn transaction_end(transaction: Transaction, abort: bool) -> Result {
    // SAFETY: The caller opened this transaction and gives it up here.
    to_result(unsafe { bindings::xenbus_transaction_end(raw(Some(&transaction)), abort) })
}

/// A registered watch.
pub(super) struct Watch(Pin<KBox<Registered>>);

/// # Invariants
///
/// `watch` is registered, its `node` points at the bytes of `path`.
#[repr(C)]
struct Registered {
    watch: Opaque<bindings::xenbus_watch>,
    path: CString,
    handler: Arc<dyn WatchHandler>,
}

// SAFETY: The C watch is only touched by the C client after the registration, under its own locks.
unsafe impl Send for Watch {}
// SAFETY: Nothing is reachable through a shared reference.
unsafe impl Sync for Watch {}

impl Watch {
    /// Registers a watch.
    pub(super) fn new(path: &CStr, handler: Arc<dyn WatchHandler>) -> Result<Self> {
        let watch = KBox::new(
            Registered {
                watch: Opaque::zeroed(),
                path: CString::try_from(path)?,
                handler,
            },
            GFP_KERNEL,
        )?;
        let watch = KBox::into_pin(watch);
        let raw = watch.watch.get();
        // SAFETY: The watch is zeroed and not registered; nobody else knows it.
        unsafe {
            (*raw).node = watch.path.as_char_ptr();
            (*raw).callback = Some(changed);
        }
        // SAFETY: The watch is pinned in its allocation until `drop` has unregistered it.
        to_result(unsafe { bindings::register_xenbus_watch(raw) })?;
        // INVARIANT: Registered just now; the string moved with the pinned allocation and not since.
        Ok(Self(watch))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: Registered by the invariant; waits until a running callback is done.
        unsafe { bindings::unregister_xenbus_watch(self.0.watch.get()) }
    }
}

/// Called by the C client's watch thread.
unsafe extern "C" fn changed(
    watch: *mut bindings::xenbus_watch,
    path: *const c_char,
    _token: *const c_char,
) {
    // SAFETY: Only watches inside a `Registered`, of which they are the first field, have this callback; the C client
    // calls it for registered ones only.
    let registered = unsafe { &*watch.cast::<Registered>() };
    // SAFETY: The C client passes a string that ends with a NUL and lives for the call.
    let path = unsafe { CStr::from_char_ptr(path) };
    registered.handler.changed(path);
}
