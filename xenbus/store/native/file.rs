// SPDX-License-Identifier: GPL-2.0

//! `/dev/xen/xenbus`: programs of the guest talk to xenstored over our connection.
//!
//! A program writes messages and reads replies and events, in any pieces. It numbers its requests as it likes; they get
//! numbers of ours on their way. Watches and transactions belong to the open file and end with it. As with the C core's
//! device, but for three things: an error of a watch is a reply, not an error of `write`, after which libxenstore would
//! give its connection up; `RESET_WATCHES` is refused, because it would end the watches of everybody else; and a program
//! that does not read its events gets them merged instead of all the kernel's memory.

use super::{
    super::{
        framer::Framer,
        wire::{
            self,
            kind,
            Header,
            HEADER_SIZE,
            PAYLOAD_MAX, //
        },
        Transaction,
        WatchHandler, //
    },
    connection::NoIo,
    report::COUNTERS,
    request::{
        Answer,
        Recipient,
        Request, //
    },
    watch::Watch, //
};
use core::ops::Deref;
use kernel::{
    new_mutex,
    new_poll_condvar,
    prelude::*,
    str::CString,
    sync::{
        poll::PollCondVar,
        Arc,
        Mutex, //
    },
    uaccess::UserSliceWriter,
    workqueue::Queue, //
};
use rxen_bindings as bindings;

mod device;
mod output;

pub(crate) use device::Device;

use output::Output;

/// An open file.
#[pin_data]
pub(super) struct OpenFile {
    // Held while what was written is acted on.
    #[pin]
    input: Mutex<Input>,
    #[pin]
    transactions: Mutex<Transactions>,
    #[pin]
    output: Mutex<Output>,
    #[pin]
    readable: PollCondVar,
    // What is on its way to the program's memory, which may be slow: no other lock is held meanwhile.
    #[pin]
    reader: Mutex<KVec<u8>>,
}

/// What comes from the program.
struct Input {
    framer: Framer<KVec<u8>>,
    watches: KVec<FileWatch>,
}

/// The program's open transactions.
struct Transactions {
    open: KVec<Open>,
    closed: bool,
}

/// One of them.
struct Open {
    transaction: Transaction,
    // Sent when the file is closed; made beforehand, because that must not fail.
    abort: Arc<Request>,
}

/// A watch of the program.
struct FileWatch {
    events: Arc<Events>,
    _watch: Watch,
}

/// Hands the events of one of the program's watches to it.
struct Events {
    file: Arc<OpenFile>,
    path: CString,
    token: CString,
}

impl WatchHandler for Events {
    fn changed(&self, path: &CStr) {
        self.file.event(self, path);
    }
}

impl Events {
    /// The message that tells the program that a path has changed.
    fn message(&self, path: &CStr) -> Result<KVec<u8>> {
        let header = Header {
            kind: kind::WATCH_EVENT,
            ..Header::default()
        };
        let strings = [path.to_bytes_with_nul(), self.token.to_bytes_with_nul()];
        message(header, strings)
    }
}

impl OpenFile {
    fn new() -> Result<Arc<Self>> {
        let input = Input {
            framer: Framer::new(KVec::from_elem(0, PAYLOAD_MAX, GFP_KERNEL)?),
            watches: KVec::new(),
        };
        let transactions = Transactions {
            open: KVec::new(),
            closed: false,
        };
        let reader = KVec::from_elem(0, HEADER_SIZE + PAYLOAD_MAX, GFP_KERNEL)?;
        COUNTERS.opened.count();
        Arc::pin_init(
            pin_init!(Self {
                input <- new_mutex!(input),
                transactions <- new_mutex!(transactions),
                output <- new_mutex!(Output::new()),
                readable <- new_poll_condvar!(),
                reader <- new_mutex!(reader),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes bytes that the program wrote, and acts on each message that is whole now.
    ///
    /// # Errors
    ///
    /// `E2BIG` for a message that xenstored would not take, `ENOMEM`: what was written of the message is forgotten.
    /// `ENOBUFS` for a program that does not read what it has asked for.
    fn write(this: &Arc<Self>, all: &[u8]) -> Result<usize> {
        let _memory = NoIo::begin();
        let mut input = this.input.lock();
        let mut bytes = all;
        while !bytes.is_empty() {
            if this.output.lock().is_clogged() {
                let done = all.len() - bytes.len();
                return if done > 0 { Ok(done) } else { Err(ENOBUFS) };
            }
            let (taken, header, payload) = match input.framer.take(bytes) {
                Ok((_, None)) => break,
                Ok((taken, Some(message))) => {
                    let mut payload = KVec::new();
                    payload.extend_from_slice(message.payload, GFP_KERNEL)?;
                    (taken, message.header, payload)
                }
                Err(_) => {
                    input.framer.reset();
                    return Err(E2BIG);
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
            Self::act(this, &mut input, header, payload)?;
        }
        Ok(all.len())
    }

    /// Acts on a message of the program. What xenstored would refuse or refuses is told by a reply.
    fn act(this: &Arc<Self>, input: &mut Input, header: Header, payload: KVec<u8>) -> Result {
        let done = match header.kind {
            kind::WATCH => Self::watch(this, input, &payload),
            kind::UNWATCH => this.unwatch(input, &payload),
            kind::RESET_WATCHES => Err(EACCES),
            kind::TRANSACTION_END => match Self::end(this, &header, payload) {
                Ok(Ended::Sent) => return Ok(()),
                Ok(Ended::WithConnection) => Ok(()),
                Err(error) => Err(error),
            },
            _ => match Self::forward(this, &header, payload) {
                Ok(()) => return Ok(()),
                Err(error) => Err(error),
            },
        };
        match done {
            Ok(()) => this.reply(&header, header.kind, b"OK\0"),
            Err(error) => this.reply_error(&header, error),
        }
    }

    /// Sends a request on.
    fn forward(this: &Arc<Self>, header: &Header, payload: KVec<u8>) -> Result {
        let transaction = this.transaction(header.transaction)?;
        let connection = super::connection()?;
        super::send(
            &connection,
            header.kind,
            transaction.as_ref(),
            payload,
            Recipient::File(this.clone(), header.id),
        )?;
        Ok(())
    }

    /// Ends a transaction.
    fn end(this: &Arc<Self>, header: &Header, payload: KVec<u8>) -> Result<Ended> {
        let commit = match payload.deref() {
            b"T\0" => true,
            b"F\0" => false,
            _ => return Err(EINVAL),
        };
        match Self::forward(this, header, payload) {
            Ok(()) => Ok(Ended::Sent),
            Err(error) => {
                // It has ended with the connection that it was part of; else it is still open.
                if error == EAGAIN {
                    this.forget(header.transaction);
                }
                if error == EAGAIN && !commit {
                    Ok(Ended::WithConnection)
                } else {
                    Err(error)
                }
            }
        }
    }

    /// The open transaction with this number; 0 is none.
    fn transaction(&self, id: u32) -> Result<Option<Transaction>> {
        if id == 0 {
            return Ok(None);
        }
        let transactions = self.transactions.lock();
        let mut open = transactions.open.iter().map(|open| &open.transaction);
        let connection = open.find(|open| open.id == id).ok_or(ENOENT)?.connection;
        Ok(Some(Transaction { id, connection }))
    }

    fn forget(&self, id: u32) {
        self.transactions.lock().forget(id);
    }

    /// Registers a watch.
    fn watch(this: &Arc<Self>, input: &mut Input, payload: &[u8]) -> Result {
        let (path, token) = wire::watch_request(payload).ok_or(EINVAL)?;
        if input.find(path, token).is_some() {
            return Err(EEXIST);
        }
        let events = Arc::new(
            Events {
                file: this.clone(),
                path: text(path)?,
                token: text(token)?,
            },
            GFP_KERNEL,
        )?;
        input.watches.reserve(1, GFP_KERNEL)?;
        let watch = FileWatch {
            _watch: Watch::new(&events.path, events.clone())?,
            events,
        };
        input
            .watches
            .push_within_capacity(watch)
            .map_err(|_| ENOMEM)
    }

    /// Ends a watch. One that is not there is taken as ended.
    fn unwatch(&self, input: &mut Input, payload: &[u8]) -> Result {
        let (path, token) = wire::watch_request(payload).ok_or(EINVAL)?;
        if let Some(place) = input.find(path, token) {
            let _ = input.watches.remove(place);
        }
        Ok(())
    }

    /// The answer to a request of the program.
    pub(super) fn answer(&self, request: &Request, id: u32, answer: Answer) {
        if request.kind == kind::TRANSACTION_END {
            self.forget(request.transaction);
        }
        let header = Header {
            kind: request.kind,
            id,
            transaction: request.transaction,
            length: 0,
        };
        let answer = answer.and_then(|reply| {
            if reply.kind == kind::TRANSACTION_START {
                let id = wire::transaction_number(&reply.payload).ok_or(EIO)?;
                let connection = reply.connection;
                self.started(Transaction { id, connection })?;
            }
            Ok(reply)
        });
        let told = match answer {
            Ok(reply) => self.reply(&header, reply.kind, &reply.payload),
            Err(error) => self.reply_error(&header, error),
        };
        if told.is_err() {
            COUNTERS.no_memory.count();
        }
    }

    /// xenstored has opened a transaction for the program.
    fn started(&self, transaction: Transaction) -> Result {
        let abort = Request::abort(transaction.id)?;
        let mut transactions = self.transactions.lock();
        // Nobody hears of it if the file is closed.
        let mut noted = Ok(());
        if !transactions.closed {
            // One of a connection that is over may have had the same number.
            transactions.forget(transaction.id);
            noted = transactions.open.reserve(1, GFP_KERNEL);
            if noted.is_ok() {
                let open = Open { transaction, abort };
                return Ok(transactions.open.push(open, GFP_KERNEL)?);
            }
        }
        drop(transactions);
        // The program does not get it. Messages are just being moved, so this cannot be sent here.
        // SAFETY: The queue exists as long as a connection that is not closed, and this came over one.
        let queue = unsafe { Queue::from_raw(bindings::rxen_store_watches()) };
        queue.try_spawn(GFP_KERNEL, move || {
            if let Ok(connection) = super::connection() {
                connection.owe(abort, transaction.connection);
                super::pump(&connection);
            }
        })?;
        Ok(noted?)
    }

    /// An event of a watch of the program.
    fn event(&self, events: &Events, path: &CStr) {
        let _memory = NoIo::begin();
        let told = events.message(path).and_then(|event| {
            self.output
                .lock()
                .push_event(event, || events.message(&events.path))
        });
        if told.is_err() {
            COUNTERS.no_memory.count();
        }
        self.readable.notify_all();
    }

    /// Puts a reply among what the program reads.
    fn reply(&self, to: &Header, kind: u32, payload: &[u8]) -> Result {
        let message = message(Header { kind, ..*to }, [payload, &[]])?;
        self.output.lock().push(message)?;
        self.readable.notify_all();
        Ok(())
    }

    fn reply_error(&self, to: &Header, error: Error) -> Result {
        let name = wire::error_name(-error.to_errno());
        let payload = CString::try_from_fmt(fmt!("{name}"))?;
        self.reply(to, kind::ERROR, payload.to_bytes_with_nul())
    }

    /// Copies what there is to the program; waits for something if there is nothing.
    ///
    /// # Errors
    ///
    /// `EAGAIN` instead of waiting where that is not wanted, `ERESTARTSYS` for a signal, `EFAULT`.
    fn read(&self, user: &mut UserSliceWriter, nonblocking: bool) -> Result<usize> {
        while !user.is_empty() {
            self.wait_for_output(nonblocking)?;
            let mut buffer = self.reader.lock();
            let done = self.copy_to(user, &mut buffer)?;
            if done > 0 {
                return Ok(done);
            }
        }
        Ok(0)
    }

    fn wait_for_output(&self, nonblocking: bool) -> Result {
        let mut output = self.output.lock();
        while output.is_empty() {
            if nonblocking {
                return Err(EAGAIN);
            }
            if self.readable.wait_interruptible(&mut output) {
                return Err(ERESTARTSYS);
            }
        }
        Ok(())
    }

    /// What cannot be copied stays.
    fn copy_to(&self, user: &mut UserSliceWriter, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while !user.is_empty() {
            let room = user.len().min(buffer.len());
            let piece = buffer.get_mut(..room).unwrap_or_default();
            let count = self.output.lock().peek(piece);
            if count == 0 {
                break;
            }
            let copied = user.write_slice(piece.get(..count).unwrap_or_default());
            if copied.is_err() && done == 0 {
                return Err(EFAULT);
            } else if copied.is_err() {
                break;
            }
            self.output.lock().advance(count);
            done += count;
        }
        Ok(done)
    }

    /// Whether there is something to read.
    fn has_output(&self) -> bool {
        !self.output.lock().is_empty()
    }

    /// The program has closed the file. Waits for nothing that xenstored does.
    fn release(&self) {
        let open = {
            let mut transactions = self.transactions.lock();
            transactions.closed = true;
            core::mem::take(&mut transactions.open)
        };
        if let Ok(connection) = super::connection() {
            for Open { transaction, abort } in open {
                connection.owe(abort, transaction.connection);
            }
            super::pump(&connection);
        }
        let watches = core::mem::take(&mut self.input.lock().watches);
        // Each waits for its handler, which needs the output only.
        drop(watches);
        *self.output.lock() = Output::new();
    }
}

/// How a transaction has ended.
enum Ended {
    /// xenstored is asked to.
    Sent,
    /// It was part of a connection that is over.
    WithConnection,
}

impl Transactions {
    fn forget(&mut self, id: u32) {
        self.open.retain(|open| open.transaction.id != id);
    }
}

impl Input {
    /// The place of a watch.
    fn find(&self, path: &[u8], token: &[u8]) -> Option<usize> {
        self.watches.iter().position(|watch| {
            watch.events.path.to_bytes() == path && watch.events.token.to_bytes() == token
        })
    }
}

/// A message in one piece.
fn message(header: Header, payload: [&[u8]; 2]) -> Result<KVec<u8>> {
    let length = payload.iter().map(|part| part.len()).sum::<usize>();
    let header = Header {
        length: u32::try_from(length).map_err(|_| E2BIG)?,
        ..header
    };
    let mut message = KVec::with_capacity(HEADER_SIZE + length, GFP_KERNEL)?;
    message.extend_from_slice(&header.encode(), GFP_KERNEL)?;
    for part in payload {
        message.extend_from_slice(part, GFP_KERNEL)?;
    }
    Ok(message)
}

/// A string of the program.
fn text(bytes: &[u8]) -> Result<CString> {
    let text = core::str::from_utf8(bytes).map_err(|_| EINVAL)?;
    CString::try_from_fmt(fmt!("{text}"))
}
