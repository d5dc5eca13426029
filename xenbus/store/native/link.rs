// SPDX-License-Identifier: GPL-2.0

//! The page that is shared with xenstored.

use super::super::{
    exchange::Ring,
    ring::{
        Corrupt,
        Incoming,
        Outgoing,
        Span,
        SIZE, //
    }, //
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::prelude::*;
use rxen_bindings as bindings;

/// The layout of the page.
type Page = bindings::xenstore_domain_interface;

/// Bytes of the page that are used.
const LENGTH: usize = 4096;

/// The places of the numbers in the page.
#[derive(Clone, Copy)]
enum Field {
    RequestConsumer = offset_of!(Page, req_cons) as isize,
    RequestProducer = offset_of!(Page, req_prod) as isize,
    ReplyConsumer = offset_of!(Page, rsp_cons) as isize,
    ReplyProducer = offset_of!(Page, rsp_prod) as isize,
    Features = offset_of!(Page, server_features) as isize,
    Connection = offset_of!(Page, connection) as isize,
    Error = offset_of!(Page, error) as isize,
}

/// The mapped page.
///
/// # Invariants
///
/// `page` is the address of [`LENGTH`] bytes that stay mapped as long as this value lives.
pub(super) struct Link {
    page: NonNull<u8>,
    outgoing: Outgoing,
    incoming: Incoming,
}

// SAFETY: The mapping belongs to no thread; all access needs the exclusive reference or reads single numbers.
unsafe impl Send for Link {}

impl Link {
    /// Maps the page with this guest frame number.
    ///
    /// # Errors
    ///
    /// `ENXIO` for a frame that cannot be, `ENOMEM` if it cannot be mapped.
    pub(super) fn map(frame: u64) -> Result<Self> {
        // An unset parameter is 0; all ones means that xenstored is not there yet.
        let address = frame.checked_mul(LENGTH as u64).ok_or(ENXIO)?;
        if address == 0 {
            return Err(ENXIO);
        }
        // SAFETY: The frame is the one that the toolstack set apart for this; it is not used as memory by the kernel.
        let page = unsafe {
            bindings::memremap(address, LENGTH, bindings::MEMREMAP_WB as c_ulong).cast::<u8>()
        };
        // INVARIANT: Mapped just now; unmapped in `drop`.
        let mut link = Self {
            page: NonNull::new(page).ok_or(ENOMEM)?,
            // Until `attach`, with indices that nothing in the page can be compared with.
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
        };
        // A ring that is out of order is found out when it is used, which leads to the way out of it.
        let _ = link.attach();
        Ok(link)
    }

    /// Skips what has come: it is of a former connection, and a new one begins with a new message.
    pub(super) fn skip(&mut self) {
        // While the server makes the ring anew, it is not ours to write.
        if self.is_reconnecting() || self.attach().is_err() {
            return;
        }
        let consumer = self.incoming.skip();
        self.store(Field::ReplyConsumer, consumer);
    }

    /// The addresses of a piece of the buffer that begins at `buffer`.
    fn bytes(&self, buffer: usize, span: Span) -> impl Iterator<Item = *mut u8> {
        let page = self.page.as_ptr();
        // SAFETY: A span lies within the `SIZE` bytes of a buffer, and both buffers lie in the page.
        (0..span.length).map(move |index| unsafe { page.add(buffer + span.offset + index) })
    }

    /// Reads one of the numbers.
    fn load(&self, field: Field) -> u32 {
        // SAFETY: The field lies in the page and is aligned. The other end may write it at the same time: volatile.
        unsafe {
            self.page
                .as_ptr()
                .add(field as usize)
                .cast::<u32>()
                .read_volatile()
        }
    }

    /// Writes one of the numbers.
    fn store(&mut self, field: Field, value: u32) {
        // SAFETY: As in `load`.
        unsafe {
            self.page
                .as_ptr()
                .add(field as usize)
                .cast::<u32>()
                .write_volatile(value)
        }
    }
}

impl Ring for Link {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Corrupt> {
        let (consumer, producer) = (
            self.load(Field::ReplyConsumer),
            self.load(Field::ReplyProducer),
        );
        let Some(span) = self.incoming.data(consumer, producer)? else {
            return Ok(0);
        };
        // The index before the bytes.
        // SAFETY: A memory barrier.
        unsafe { bindings::rxen_virt_rmb() };
        let length = span.length.min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(self.bytes(SIZE as usize, span)) {
            // SAFETY: The byte lies in the page. The other end may write it at the same time: volatile, and read once.
            *place = unsafe { byte.read_volatile() };
        }
        // The bytes before the index that gives their room back.
        // SAFETY: A memory barrier.
        unsafe { bindings::rxen_virt_mb() };
        let consumer = self.incoming.read(length);
        self.store(Field::ReplyConsumer, consumer);
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Corrupt> {
        let (consumer, producer) = (
            self.load(Field::RequestConsumer),
            self.load(Field::RequestProducer),
        );
        let Some(span) = self.outgoing.room(consumer, producer)? else {
            return Ok(0);
        };
        // The index that gives the room before what is written there.
        // SAFETY: A memory barrier.
        unsafe { bindings::rxen_virt_mb() };
        let length = span.length.min(bytes.len());
        for (byte, place) in bytes.iter().zip(self.bytes(0, span)) {
            // SAFETY: The byte lies in the page, in a part that the other end does not look at yet.
            unsafe { place.write_volatile(*byte) };
        }
        // The bytes before the index.
        // SAFETY: A memory barrier.
        unsafe { bindings::rxen_virt_wmb() };
        let producer = self.outgoing.wrote(length);
        self.store(Field::RequestProducer, producer);
        Ok(length)
    }

    fn attach(&mut self) -> Result<(), Corrupt> {
        // After a reconnection: its end before the indices.
        // SAFETY: A memory barrier.
        unsafe { bindings::rxen_virt_rmb() };
        let outgoing = Outgoing::attach(
            self.load(Field::RequestConsumer),
            self.load(Field::RequestProducer),
        )?;
        let incoming = Incoming::attach(
            self.load(Field::ReplyConsumer),
            self.load(Field::ReplyProducer),
        )?;
        (self.outgoing, self.incoming) = (outgoing, incoming);
        Ok(())
    }

    fn error(&self) -> Option<u32> {
        if self.load(Field::Features) & bindings::XENSTORE_SERVER_FEATURE_ERROR == 0 {
            return None;
        }
        Some(self.load(Field::Error)).filter(|error| *error != bindings::XENSTORE_ERROR_NONE)
    }

    fn can_reconnect(&self) -> bool {
        self.load(Field::Features) & bindings::XENSTORE_SERVER_FEATURE_RECONNECTION != 0
    }

    fn reconnect(&mut self) {
        self.store(Field::Connection, bindings::XENSTORE_RECONNECT);
    }

    fn is_reconnecting(&self) -> bool {
        self.can_reconnect() && self.load(Field::Connection) != bindings::XENSTORE_CONNECTED
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // SAFETY: Mapped by the invariant, and nobody has the address any more.
        unsafe { bindings::memunmap(self.page.as_ptr().cast()) }
    }
}
