// SPDX-License-Identifier: GPL-2.0

//! Block requests and responses through the kernel's structures.

use core::ffi::c_void;

/// Bytes of a request (`struct blkif_request`).
const REQUEST: usize = 112;
/// Bytes of a response (`struct blkif_response`).
const RESPONSE: usize = 16;

extern "C" {
    fn reference_block_request_size() -> u32;
    fn reference_block_response_size() -> u32;
    fn reference_block_segment_size() -> u32;
    fn reference_block_segment(to: *mut c_void, gref: u32, first: u8, last: u8);
    fn reference_block_direct(
        to: *mut c_void,
        operation: u8,
        handle: u16,
        id: u64,
        sector: u64,
        segments: *const c_void,
        count: u32,
    );
    fn reference_block_indirect(
        to: *mut c_void,
        operation: u8,
        handle: u16,
        id: u64,
        sector: u64,
        segments: u16,
        gref: u32,
    );
    fn reference_block_discard(to: *mut c_void, id: u64, sector: u64, sectors: u64, secure: i32);
    fn reference_block_response(to: *mut c_void, id: u64, operation: u8, status: i16);
    fn reference_block_operations(to: *mut u8);
    fn reference_block_statuses(to: *mut i16);
    fn reference_block_direct_segments() -> u32;
    fn reference_block_info_flags(to: *mut u32);
}

/// The C structures of `blkif.h`.
pub struct Block(());

impl Block {
    /// Checks that the buffers below have the structures' sizes.
    pub fn new() -> Self {
        // SAFETY: The functions have no effects.
        unsafe {
            assert_eq!(reference_block_request_size() as usize, REQUEST);
            assert_eq!(reference_block_response_size() as usize, RESPONSE);
            assert_eq!(reference_block_segment_size(), 8);
        }
        Self(())
    }

    /// A segment as it lies in memory.
    pub fn segment(&self, gref: u32, first: u8, last: u8) -> [u8; 8] {
        let mut bytes = [0; 8];
        // SAFETY: The buffer has the structure's size.
        unsafe { reference_block_segment(bytes.as_mut_ptr().cast(), gref, first, last) };
        bytes
    }

    /// A read, write, barrier or flush.
    pub fn direct(
        &self,
        operation: u8,
        handle: u16,
        id: u64,
        sector: u64,
        segments: &[[u8; 8]],
    ) -> [u8; REQUEST] {
        // SAFETY: The function has no effects.
        assert!(segments.len() <= unsafe { reference_block_direct_segments() } as usize);
        let mut bytes = [0; REQUEST];
        // SAFETY: The buffer has the structure's size, and there are as many segments as is said.
        unsafe {
            reference_block_direct(
                bytes.as_mut_ptr().cast(),
                operation,
                handle,
                id,
                sector,
                segments.as_ptr().cast(),
                segments.len() as u32,
            )
        };
        bytes
    }

    /// A read or write with its segments in another page.
    pub fn indirect(
        &self,
        operation: u8,
        handle: u16,
        id: u64,
        sector: u64,
        segments: u16,
        gref: u32,
    ) -> [u8; REQUEST] {
        let mut bytes = [0; REQUEST];
        // SAFETY: The buffer has the structure's size.
        unsafe {
            reference_block_indirect(
                bytes.as_mut_ptr().cast(),
                operation,
                handle,
                id,
                sector,
                segments,
                gref,
            )
        };
        bytes
    }

    /// A discard.
    pub fn discard(&self, id: u64, sector: u64, sectors: u64, secure: bool) -> [u8; REQUEST] {
        let mut bytes = [0; REQUEST];
        let to = bytes.as_mut_ptr().cast();
        // SAFETY: The buffer has the structure's size.
        unsafe { reference_block_discard(to, id, sector, sectors, secure.into()) };
        bytes
    }

    /// A response whose padding holds what is in `padding` at its place.
    pub fn response(
        &self,
        id: u64,
        operation: u8,
        status: i16,
        padding: [u64; 2],
    ) -> [u64; RESPONSE / 8] {
        let mut words = padding;
        // SAFETY: The buffer has the structure's size and alignment.
        unsafe { reference_block_response(words.as_mut_ptr().cast(), id, operation, status) };
        words
    }

    /// The numbers of read, write, barrier, flush, discard and indirect.
    pub fn operations(&self) -> [u8; 6] {
        let mut numbers = [u8::MAX; 6];
        // SAFETY: The function writes six numbers.
        unsafe { reference_block_operations(numbers.as_mut_ptr()) };
        numbers
    }

    /// The numbers of okay, not supported and error.
    pub fn statuses(&self) -> [i16; 3] {
        let mut numbers = [i16::MAX; 3];
        // SAFETY: The function writes three numbers.
        unsafe { reference_block_statuses(numbers.as_mut_ptr()) };
        numbers
    }

    /// The most segments in a slot.
    pub fn direct_segments(&self) -> u32 {
        // SAFETY: The function has no effects.
        unsafe { reference_block_direct_segments() }
    }

    /// The bits of `info`: CD-ROM, removable, read-only.
    pub fn info_flags(&self) -> [u32; 3] {
        let mut bits = [0; 3];
        // SAFETY: The function writes three numbers.
        unsafe { reference_block_info_flags(bits.as_mut_ptr()) };
        bits
    }
}

impl Default for Block {
    fn default() -> Self {
        Self::new()
    }
}
