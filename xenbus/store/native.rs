// SPDX-License-Identifier: GPL-2.0

//! xenstore by way of our own client on the ring that is shared with xenstored.
//!
//! | module         | what it has                                                                              |
//! |----------------|------------------------------------------------------------------------------------------|
//! | `link`         | the shared page                                                                          |
//! | `connection`   | requests in flight, time limits, holding still for a suspend                             |
//! | `state`        | the session with xenstored, over ring and event channel                                  |
//! | `failure`      | why a connection cannot go on                                                            |
//! | `request`      | one request and its answer                                                               |
//! | `owed`         | requests for whose answer nobody waits                                                   |
//! | `watch`        | watches and their handlers                                                               |
//! | `file`         | `/dev/xen/xenbus`, for programs of the guest                                             |
//! | `report`       | the counters                                                                             |
//!
//! Locks, outermost first: a watch's or open file's own that is held while xenstored is asked; the connection's; then
//! the list of watches, a backlog, an open file's output, which are held for a moment only. No handler is ever called
//! with one of them held.

use super::{
    listing::{
        self,
        Part,
        Parts, //
    },
    retry,
    wire::{
        self,
        kind, //
    },
    Transaction, //
};
use crate::{
    evtchn::{
        Channel,
        Handler,
        Outcome, //
    },
    hypercall, //
};
use kernel::{
    error::to_result,
    prelude::*,
    str::CString,
    sync::{
        global_lock,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use rxen_bindings as bindings;

mod connection;
mod failure;
mod file;
mod link;
mod owed;
mod report;
mod request;
mod state;
mod watch;

pub(crate) use connection::NoIo;
pub(crate) use file::Device;
pub(crate) use report::Report;
pub(crate) use watch::Watch;

use connection::Connection;
use link::Link;
use request::{
    Recipient,
    Reply,
    Request, //
};
use watch::Watches;

/// Milliseconds in which what is under way comes to its end before a suspend, and before the module goes.
const SETTLE_MS: u32 = 5000;

/// How often a long list is begun again because the node has changed in the meantime.
const LIST_ATTEMPTS: u32 = 20;

global_lock! {
    // SAFETY: Initialised by `Client::start` when the module is loaded, before anybody can ask for a connection.
    unsafe(uninit) static CONNECTION: Mutex<Option<Arc<Connection>>> = None;
}

/// The connection.
///
/// # Errors
///
/// `ENODEV` before it is there and after it is gone.
fn connection() -> Result<Arc<Connection>> {
    CONNECTION.lock().clone().ok_or(ENODEV)
}

/// Milliseconds of a clock that only goes forward.
fn now_ms() -> u64 {
    // SAFETY: Process context outside of the suspend's innermost part.
    let nanoseconds = unsafe { bindings::ktime_get() };
    nanoseconds.unsigned_abs() / 1_000_000
}

/// The work queues; dropping it ends what they run.
struct Queues;

impl Queues {
    fn start() -> Result<Self> {
        // SAFETY: Called once, when the module is loaded.
        to_result(unsafe { bindings::rxen_store_start() })?;
        Ok(Self)
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        // SAFETY: The connection is closed, so nothing is queued any more.
        unsafe { bindings::rxen_store_stop() }
    }
}

/// The client: as long as it lives, this guest has a connection to xenstored.
pub(crate) struct Client {
    connection: Arc<Connection>,
    _queues: Queues,
}

impl Client {
    /// Connects to xenstored. `limit` is how many seconds it has for a reply.
    ///
    /// # Errors
    ///
    /// After a line in the log that says what is missing: `ENXIO` without a ring, `ETIMEDOUT` without a xenstored.
    pub(crate) fn start(limit: u32) -> Result<Self> {
        // SAFETY: Called exactly once, from the module's initialiser.
        unsafe { CONNECTION.init() };
        // SAFETY: No requirements.
        let random = unsafe { bindings::get_random_u32() };
        watch::seed_tokens(random);
        let queues = Queues::start()?;
        let link = attach().inspect_err(|error| {
            pr_err!(
                "xenstore: this guest has no ring to xenstored ({error:?}); is it an HVM guest?\n"
            );
        })?;
        let limit = limit.clamp(1, 3600) * 1000;
        let connection = Connection::new(link, limit, random)?;
        *CONNECTION.lock() = Some(connection.clone());
        let client = Self {
            connection,
            _queues: queues,
        };
        bind(&client.connection);
        reset_watches(&client.connection).inspect_err(|error| {
            pr_err!("xenstore: xenstored does not answer ({error:?}); does it run in dom0?\n");
        })?;
        Ok(client)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.close(SETTLE_MS);
        *CONNECTION.lock() = None;
    }
}

/// Maps the ring that the toolstack has made for this guest.
fn attach() -> Result<Link> {
    let frame = hypercall::hvm_param(bindings::HVM_PARAM_STORE_PFN)?;
    Link::map(frame)
}

/// Binds xenstored's event channel; without one the client looks at the ring all the time.
fn bind(connection: &Arc<Connection>) {
    let channel = hypercall::hvm_param(bindings::HVM_PARAM_STORE_EVTCHN)
        .and_then(|port| u32::try_from(port).map_err(|_| EINVAL))
        .and_then(|port| {
            connection.set_port(port);
            let doorbell = Arc::new(Doorbell, GFP_KERNEL)?;
            Channel::bind_port(port, "xenstore", doorbell)
        });
    match channel {
        Ok(channel) => connection.set_channel(channel),
        Err(error) => pr_warn!(
            "xenstore: no event channel ({error:?}): looking for replies every few milliseconds instead\n"
        ),
    }
    // What came before the channel was bound.
    pump(connection);
}

/// Handles xenstored's events.
struct Doorbell;

impl Handler for Doorbell {
    fn event(&self) -> Outcome {
        // SAFETY: The queues exist as long as the channel.
        unsafe { bindings::rxen_store_event() };
        Outcome::Handled
    }

    fn stopped(&self) {}
}

/// Called by the work queue of `helpers.c`. Process context.
#[no_mangle]
extern "C" fn rxen_store_pump() {
    if let Ok(connection) = connection() {
        pump(&connection);
    }
}

/// Moves messages; has the watches registered again where xenstored does not know them any more.
fn pump(connection: &Arc<Connection>) {
    if connection.pump() {
        connection.register_again();
    }
}

/// Ends the watches of a former owner of the connection, such as this module before it was loaded again.
fn reset_watches(connection: &Arc<Connection>) -> Result {
    let path = join(c"control", c"platform-feature-xs_reset_watches")?;
    match call(connection, kind::READ, None, path) {
        Ok(value) if super::value::number(&value, &(1..=1)).is_ok() => {}
        Ok(_) => return Ok(()),
        Err(error) if error == ENOENT => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut nothing = KVec::new();
    nothing.push(0, GFP_KERNEL)?;
    match call(connection, kind::RESET_WATCHES, None, nothing) {
        Err(error) if error == ETIMEDOUT || error == EIO => Err(error),
        Err(error) => {
            pr_warn!("xenstore: cannot reset the watches of a former owner: {error:?}\n");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// Makes a request and sends it.
fn send(
    connection: &Arc<Connection>,
    kind: u32,
    transaction: Option<&Transaction>,
    payload: KVec<u8>,
    recipient: Recipient,
) -> Result<Arc<Request>> {
    let _memory = NoIo::begin();
    let id = transaction.map_or(0, |open| open.id);
    let over = transaction.map_or(0, |open| open.connection);
    let request = Request::new(kind, id, payload, recipient)?;
    connection.submit(request.clone(), over)?;
    pump(connection);
    Ok(request)
}

/// Makes a request and waits for its reply.
fn ask(
    connection: &Arc<Connection>,
    kind: u32,
    transaction: Option<&Transaction>,
    payload: KVec<u8>,
) -> Result<Reply> {
    let request = send(connection, kind, transaction, payload, Recipient::Thread)?;
    connection.wait(&request)
}

/// As [`ask`], for the payload of the reply; an error of xenstored becomes the kernel's.
fn call(
    connection: &Arc<Connection>,
    kind: u32,
    transaction: Option<&Transaction>,
    payload: KVec<u8>,
) -> Result<KVec<u8>> {
    ask(connection, kind, transaction, payload)?.into_payload()
}

/// A path with its ending NUL.
fn join(directory: &CStr, node: &CStr) -> Result<KVec<u8>> {
    let mut path = KVec::new();
    path.extend_from_slice(directory.to_bytes(), GFP_KERNEL)?;
    if !node.is_empty() {
        path.push(b'/', GFP_KERNEL)?;
        path.extend_from_slice(node.to_bytes(), GFP_KERNEL)?;
    }
    path.push(0, GFP_KERNEL)?;
    Ok(path)
}

/// Reads a node.
pub(super) fn read(
    transaction: Option<&Transaction>,
    directory: &CStr,
    node: &CStr,
) -> Result<KVec<u8>> {
    let path = join(directory, node)?;
    call(&connection()?, kind::READ, transaction, path)
}

/// Lists a directory.
pub(super) fn list(directory: &CStr, node: &CStr) -> Result<KVec<CString>> {
    let connection = connection()?;
    let list = match call(&connection, kind::DIRECTORY, None, join(directory, node)?) {
        Err(error) if error == E2BIG => list_in_parts(&connection, directory, node)?,
        result => result?,
    };
    report::COUNTERS.bad_names.add(listing::bad_names(&list));
    let mut names = KVec::new();
    for name in listing::names(&list).map_err(|_| EIO)? {
        let name = core::str::from_utf8(name).map_err(|_| EIO)?;
        names.push(CString::try_from_fmt(fmt!("{name}"))?, GFP_KERNEL)?;
    }
    Ok(names)
}

/// Lists a directory that does not fit into one message.
fn list_in_parts(connection: &Arc<Connection>, directory: &CStr, node: &CStr) -> Result<KVec<u8>> {
    let mut list = KVec::new();
    let mut parts = Parts::new();
    let mut changed = 0;
    loop {
        let mut payload = join(directory, node)?;
        let offset = CString::try_from_fmt(fmt!("{}", parts.offset()))?;
        payload.extend_from_slice(offset.to_bytes_with_nul(), GFP_KERNEL)?;
        let reply = call(connection, kind::DIRECTORY_PART, None, payload)?;
        match parts.add(&reply).map_err(|_| EIO)? {
            Part::More(names) => list.extend_from_slice(names, GFP_KERNEL)?,
            Part::Last(names) => {
                list.extend_from_slice(names, GFP_KERNEL)?;
                return Ok(list);
            }
            Part::Changed => {
                list.clear();
                changed += 1;
                if changed >= LIST_ATTEMPTS {
                    return Err(EAGAIN);
                }
            }
        }
    }
}

/// Writes a node.
pub(super) fn write(
    transaction: Option<&Transaction>,
    directory: &CStr,
    node: &CStr,
    value: &CStr,
) -> Result {
    let mut payload = join(directory, node)?;
    payload.extend_from_slice(value.to_bytes(), GFP_KERNEL)?;
    call(&connection()?, kind::WRITE, transaction, payload).map(|_| ())
}

/// Removes a node.
pub(super) fn remove(transaction: Option<&Transaction>, directory: &CStr, node: &CStr) -> Result {
    let path = join(directory, node)?;
    call(&connection()?, kind::RM, transaction, path).map(|_| ())
}

/// Opens a transaction.
pub(super) fn transaction_start() -> Result<Transaction> {
    let over = connection()?;
    let mut nothing = KVec::new();
    nothing.push(0, GFP_KERNEL)?;
    let reply = ask(&over, kind::TRANSACTION_START, None, nothing)?;
    let connection = reply.connection;
    let payload = reply.into_payload()?;
    let id = wire::transaction_number(&payload).ok_or(EIO)?;
    let transaction = Transaction { id, connection };
    over.opened(&transaction);
    Ok(transaction)
}

/// Commits or aborts a transaction.
pub(super) fn transaction_end(transaction: Transaction, abort: bool) -> Result {
    let over = connection()?;
    let mut verdict = KVec::new();
    let sent = verdict
        .extend_from_slice(if abort { wire::ABORT } else { b"T\0" }, GFP_KERNEL)
        .map_err(Error::from)
        .and_then(|()| {
            let (kind, recipient) = (kind::TRANSACTION_END, Recipient::Thread);
            send(&over, kind, Some(&transaction), verdict, recipient)
        });
    if sent.is_err() {
        // It has not even a place among what is sent, and xenstored would keep it for as long as the guest runs.
        if let Ok(request) = Request::abort(transaction.id) {
            over.owe(request, transaction.connection);
        }
    }
    let result = sent.and_then(|request| over.wait(&request)?.into_payload());
    over.ended(&transaction);
    result.map(|_| ())
}

/// Waits before a transaction is tried again.
pub(super) fn pause(failed: u32) {
    // SAFETY: No requirements.
    let random = unsafe { bindings::get_random_u32() };
    let milliseconds = retry::pause_ms(failed, random);
    if milliseconds > 0 {
        fsleep(Delta::from_millis(milliseconds.into()));
    }
}

/// Before a suspend: lets what is under way come to its end, for some seconds at the most, and holds back what is new.
/// Afterwards nobody touches the ring. May sleep.
///
/// # Errors
///
/// `ETIME` if it does not come to its end; then nothing is held back.
pub(crate) fn suspend() -> Result {
    let connection = connection()?;
    connection.park(SETTLE_MS).inspect_err(|_| {
        // What was held back.
        pump(&connection);
    })
}

/// After a suspend, restored or cancelled. After a restore the ring is a new one: connects to it and registers all
/// watches again, so that each handler is called. May sleep.
///
/// # Errors
///
/// What the hypervisor says where there is no ring after the restore, after a line in the log: then all requests fail
/// until the next restore.
pub(crate) fn resume(restored: bool) -> Result {
    // The disks are at rest, and memory must not wait for them.
    let _memory = NoIo::begin();
    let connection = connection()?;
    if !restored {
        connection.unpark();
        pump(&connection);
        return Ok(());
    }
    report::COUNTERS.restores.count();
    // Of the former ring: nothing is sent over it any more.
    drop(connection.take_channel());
    let attached = attach().map(|mut link| {
        link.skip();
        connection.replace(link);
    });
    if let Err(error) = attached {
        pr_err!(
            "xenstore: no ring to xenstored after the restore ({error:?}); nothing can be attached or detached until \
             the next restore\n"
        );
        connection.give_up();
    }
    connection.unpark();
    attached?;
    bind(&connection);
    Watches::register_all(&connection);
    Ok(())
}
