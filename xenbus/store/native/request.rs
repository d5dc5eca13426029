// SPDX-License-Identifier: GPL-2.0

//! A request from the moment it is made until its answer has reached who made it.

use super::{
    super::{
        matcher,
        wire::{
            self,
            kind,
            ABORT,
            PAYLOAD_MAX, //
        }, //
    },
    file::OpenFile,
    report::COUNTERS, //
};
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        AtomicTracker,
        ListLinks,
        TryNewListArc, //
    },
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    types::Opaque, //
};
use rxen_bindings as bindings;

/// A reply of xenstored.
pub(super) struct Reply {
    /// Its type: that of the request, or `ERROR`.
    pub(super) kind: u32,
    /// What follows the header.
    pub(super) payload: KVec<u8>,
    /// The connection over which it came.
    pub(super) connection: u32,
}

impl Reply {
    /// The payload; an error of xenstored becomes the kernel's.
    pub(super) fn into_payload(self) -> Result<KVec<u8>> {
        if self.kind != kind::ERROR {
            return Ok(self.payload);
        }
        match wire::error_number(&self.payload) {
            Some(number) => Err(Error::from_errno(-number)),
            None => {
                pr_warn!("xenstore: an error of an unknown name is taken as EIO\n");
                Err(EIO)
            }
        }
    }
}

/// What came of a request: a reply, or why there is none.
pub(super) type Answer = Result<Reply>;

/// Who gets the answer.
pub(super) enum Recipient {
    /// A thread, which waits for it.
    Thread,
    /// An open file of `/dev/xen/xenbus`, with the number that its program gave the request.
    File(Arc<OpenFile>, u32),
    /// Nobody cares.
    Nobody,
}

/// A request.
#[pin_data]
pub(super) struct Request {
    /// Its type.
    pub(super) kind: u32,
    /// Its transaction; 0 is none.
    pub(super) transaction: u32,
    payload: KVec<u8>,
    recipient: Recipient,
    #[pin]
    answer: Mutex<Option<Answer>>,
    #[pin]
    answered: Opaque<bindings::completion>,
    // Of the list of what is owed.
    #[pin]
    links: ListLinks,
    #[pin]
    listed: AtomicTracker,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Request { tracked_by listed: AtomicTracker; }
}

impl_list_item! {
    impl ListItem<0> for Request { using ListLinks { self.links }; }
}

// SAFETY: The completion may be used from any thread; the rest is `Send` by itself.
unsafe impl Send for Request {}
// SAFETY: As above; all other fields are constant, locked, or `Sync` by themselves.
unsafe impl Sync for Request {}

impl matcher::Request for Arc<Request> {
    fn payload(&self) -> &[u8] {
        &self.payload
    }
}

impl Request {
    /// Makes a request.
    ///
    /// # Errors
    ///
    /// `E2BIG` if it is longer than the protocol allows: xenstored would never talk to this domain again.
    pub(super) fn new(
        kind: u32,
        transaction: u32,
        payload: KVec<u8>,
        recipient: Recipient,
    ) -> Result<Arc<Self>> {
        if payload.len() > PAYLOAD_MAX {
            return Err(E2BIG);
        }
        Arc::pin_init(
            pin_init!(Self {
                kind,
                transaction,
                payload,
                recipient,
                answer <- new_mutex!(None),
                // SAFETY: The place is valid for the call, and pinned.
                answered <- Opaque::ffi_init(|place| unsafe { bindings::init_completion(place) }),
                links <- ListLinks::new(),
                listed <- AtomicTracker::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Makes a request that aborts a transaction, for whose reply nobody waits.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, which is counted.
    pub(super) fn abort(transaction: u32) -> Result<Arc<Self>> {
        let mut verdict = KVec::new();
        verdict
            .extend_from_slice(ABORT, GFP_KERNEL)
            .map_err(Error::from)
            .and_then(|()| {
                let kind = kind::TRANSACTION_END;
                Self::new(kind, transaction, verdict, Recipient::Nobody)
            })
            .inspect_err(|_| COUNTERS.no_memory.count())
    }

    /// Whether a program has made it.
    pub(super) fn is_of_program(&self) -> bool {
        matches!(self.recipient, Recipient::File(..))
    }

    /// Hands the answer to who waits for it. Called once; takes short locks only.
    pub(super) fn answer(&self, answer: Answer) {
        match &self.recipient {
            Recipient::Thread => {
                *self.answer.lock() = Some(answer);
                // SAFETY: Initialised in `new`, pinned since then.
                unsafe { bindings::complete_all(self.answered.get()) };
            }
            Recipient::File(file, number) => file.answer(self, *number, answer),
            Recipient::Nobody => {}
        }
    }

    /// Waits for the answer; [`None`] if there is none after so many milliseconds.
    pub(super) fn wait(&self, milliseconds: u32) -> Option<Answer> {
        // SAFETY: As in `answer`.
        unsafe {
            bindings::wait_for_completion_timeout(
                self.answered.get(),
                kernel::time::msecs_to_jiffies(milliseconds),
            )
        };
        self.answer.lock().take()
    }

    /// The path that the request is about, for the log.
    pub(super) fn path(&self) -> &str {
        let path = self.payload.split(|byte| *byte == 0).next();
        path.and_then(|path| core::str::from_utf8(path).ok())
            .unwrap_or_default()
    }
}
