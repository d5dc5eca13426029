// SPDX-License-Identifier: GPL-2.0

//! How an access begins and ends in the shared table: pure, checked on the build machine with loom against a backend
//! that maps at any time.

use super::words::{
    fence,
    Ordering,
    SharedWord16,
    SharedWord32, //
};

/// The flags in the first word of an entry, whose other half is the domain, and in a status (`GTF_*`).
const PERMIT_ACCESS: u32 = 1;
const READ_ONLY: u32 = 1 << 2;
const READING: u32 = 1 << 3;
const WRITING: u32 = 1 << 4;

/// How often an end of access is tried while the hypervisor changes the entry: a backend that maps and unmaps all the
/// time must not keep a CPU here.
const ATTEMPTS: u32 = 16;

/// The first word of an entry that lends its frame to a domain.
pub const fn permit(domid: u16, read_only: bool) -> u32 {
    (domid as u32) << 16 | PERMIT_ACCESS | if read_only { READ_ONLY } else { 0 }
}

/// Lends the frame that was written to the entry before.
#[inline]
pub fn begin(header: &SharedWord32, domid: u16, read_only: bool) {
    header.store(permit(domid, read_only), Ordering::Release);
}

/// Whether an entry belongs to somebody: to a former owner of the table, whose page the other end may still have.
#[inline]
pub fn is_taken(header: &SharedWord32, status: Option<&SharedWord16>) -> bool {
    header.load(Ordering::Acquire) != 0
        || status.is_some_and(|status| status.load(Ordering::Acquire) != 0)
}

/// Ends an access in a table of version 1, where the hypervisor notes in the entry itself that the frame is mapped. False
/// if it is; then the entry is as before. By compare-and-exchange: a plain store would lose that note (XSA-396).
#[inline]
pub fn end_v1(header: &SharedWord32) -> bool {
    let seen = header.load(Ordering::Acquire);
    end_by(seen, |seen| {
        header.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire)
    })
}

/// The same with any way to put 0 in the place of what was seen, which else says what is there now.
#[inline]
pub fn end_by(mut seen: u32, mut exchange: impl FnMut(u32) -> Result<u32, u32>) -> bool {
    for _ in 0..ATTEMPTS {
        if seen & (READING | WRITING) != 0 {
            return false;
        }
        match exchange(seen) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}

/// Ends an access in a table of version 2, where the hypervisor notes in a status word that the frame is mapped. False if
/// it is; then it cannot be mapped anew, and is tried again later.
///
/// The hypervisor does the same in the other order: it notes the mapping, then looks whether the entry still permits it.
/// Of the two at least one sees the other, if the barrier is between store and load.
#[inline]
pub fn end_v2(header: &SharedWord32, status: &SharedWord16) -> bool {
    header.store(0, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    u32::from(status.load(Ordering::Acquire)) & (READING | WRITING) == 0
}
