// SPDX-License-Identifier: GPL-2.0

//! What travels on a block ring, byte for byte against the structures of `blkif.h`.

use proptest::prelude::*;
use pure_blkfront::{
    negotiate,
    wire::{
        operation,
        Request,
        Response,
        Segment,
        Status,
        REQUEST_WORDS,
        RESPONSE_WORDS, //
    }, //
};
use reference::Block;

/// A request's bytes in memory.
fn bytes(request: &Request) -> [u8; 8 * REQUEST_WORDS] {
    let mut bytes = [0; 8 * REQUEST_WORDS];
    for (to, word) in bytes.chunks_exact_mut(8).zip(request.words()) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

fn segment() -> impl Strategy<Value = Segment> {
    (any::<u32>(), any::<u8>(), any::<u8>()).prop_map(|(gref, first, last)| Segment {
        gref,
        first,
        last,
    })
}

/// An offset or length: whole sectors as often as anything else, and beyond a page too.
fn bytes_of_a_page() -> impl Strategy<Value = u32> {
    prop_oneof![(0u32..10).prop_map(|sectors| sectors * 512), 0u32..5000]
}

/// The C structures of segments.
fn in_c(block: &Block, segments: &[Segment]) -> Vec<[u8; 8]> {
    segments
        .iter()
        .map(|segment| block.segment(segment.gref, segment.first, segment.last))
        .collect()
}

#[test]
fn numbers_are_those_of_the_protocol() {
    let block = Block::new();
    let operations = [
        operation::READ,
        operation::WRITE,
        operation::WRITE_BARRIER,
        operation::FLUSH,
        operation::DISCARD,
        operation::INDIRECT,
    ];
    assert_eq!(operations, block.operations());
    assert_eq!(negotiate::DIRECT_SEGMENTS, block.direct_segments());
    assert_eq!(negotiate::INDIRECT_SEGMENTS_PER_PAGE * 8, 4096);
    assert_eq!(
        8 * RESPONSE_WORDS,
        size_of_val(&block.response(0, 0, 0, [0; 2]))
    );
}

#[test]
fn statuses_are_those_of_the_protocol() {
    let block = Block::new();
    let ours = block
        .statuses()
        .map(|status| Response::from_words(block.response(1, 0, status, [0; 2])).status());
    assert_eq!(ours, [Status::Okay, Status::NotSupported, Status::Error]);
}

#[test]
fn a_segment_of_every_part_of_a_page() {
    for first in 0..8 {
        for last in first..8 {
            let segment = Segment::new(5, first * 512, (last + 1 - first) * 512);
            let expected = Segment {
                gref: 5,
                first: first as u8,
                last: last as u8,
            };
            assert_eq!(segment, Some(expected));
        }
    }
}

proptest! {
    #[test]
    fn segments_are_whole_sectors_of_one_page(gref: u32, offset in bytes_of_a_page(), length in bytes_of_a_page()) {
        let fits = length > 0 && offset % 512 == 0 && length % 512 == 0 && offset + length <= 4096;
        match Segment::new(gref, offset, length) {
            Some(segment) => {
                prop_assert!(fits);
                prop_assert_eq!(u32::from(segment.first) * 512, offset);
                prop_assert_eq!((u32::from(segment.last) + 1) * 512, offset + length);
                prop_assert_eq!(segment.gref, gref);
            }
            None => prop_assert!(!fits),
        }
    }

    #[test]
    fn no_offset_or_length_is_taken_for_one_in_the_page(offset: u32, length: u32) {
        // In sectors as well, where sums overflow.
        for (offset, length) in [(offset, length), (offset & !511, length & !511)] {
            let fits = length > 0
                && offset % 512 == 0
                && length % 512 == 0
                && u64::from(offset) + u64::from(length) <= 4096;
            prop_assert_eq!(Segment::new(1, offset, length).is_some(), fits);
        }
    }

    #[test]
    fn a_segment_lies_in_memory_as_in_c(segment in segment()) {
        let expected = Block::new().segment(segment.gref, segment.first, segment.last);
        prop_assert_eq!(segment.word().to_ne_bytes(), expected);
    }

    #[test]
    fn a_direct_request_is_that_of_c(
        operation: u8,
        handle: u16,
        id: u64,
        sector: u64,
        segments in prop::collection::vec(segment(), 0..=11),
    ) {
        let block = Block::new();
        let request = Request::direct(operation, handle, id, sector, segments.iter().copied());
        let expected = block.direct(operation, handle, id, sector, &in_c(&block, &segments));
        prop_assert_eq!(bytes(&request), expected);
    }

    #[test]
    fn segments_beyond_the_slot_are_left_out(
        segments in prop::collection::vec(segment(), 12..600),
    ) {
        let request = Request::direct(operation::READ, 1, 2, 3, segments.iter().copied());
        let fitting = Request::direct(operation::READ, 1, 2, 3, segments[..11].iter().copied());
        prop_assert_eq!(request, fitting);
        prop_assert_eq!(bytes(&request)[1], 11);
    }

    #[test]
    fn an_indirect_request_is_that_of_c(
        operation: u8,
        handle: u16,
        id: u64,
        sector: u64,
        segments: u16,
        gref: u32,
    ) {
        let request = Request::indirect(operation, handle, id, sector, segments, gref);
        let expected = Block::new().indirect(operation, handle, id, sector, segments, gref);
        prop_assert_eq!(bytes(&request), expected);
    }

    #[test]
    fn a_discard_is_that_of_c(id: u64, sector: u64, sectors: u64, secure: bool) {
        let request = Request::discard(id, sector, sectors, secure);
        prop_assert_eq!(bytes(&request), Block::new().discard(id, sector, sectors, secure));
    }

    /// A request says nothing but what it was made from: with all of that zero, so are all bytes but the operation.
    #[test]
    fn nothing_is_set_beside_the_payload(operation: u8, count in 0usize..=11) {
        let nothing = Segment { gref: 0, first: 0, last: 0 };
        let direct = Request::direct(operation, 0, 0, 0, std::iter::repeat_n(nothing, count));
        let mut expected = [0; 8 * REQUEST_WORDS];
        (expected[0], expected[1]) = (operation, count as u8);
        prop_assert_eq!(bytes(&direct), expected);

        let indirect = Request::indirect(operation, 0, 0, 0, 0, 0);
        (expected[0], expected[1]) = (operation::INDIRECT, operation);
        prop_assert_eq!(bytes(&indirect), expected);

        (expected[0], expected[1]) = (operation::DISCARD, 0);
        prop_assert_eq!(bytes(&Request::discard(0, 0, 0, false)), expected);
    }

    /// The padding of a response is the backend's and means nothing.
    #[test]
    fn a_response_is_read_as_in_c(id: u64, operation: u8, status: i16, padding: [u64; 2]) {
        let response = Response::from_words(Block::new().response(id, operation, status, padding));
        prop_assert_eq!(response.id(), id);
        prop_assert_eq!(response.operation(), operation);
        let expected = match status {
            0 => Status::Okay,
            -2 => Status::NotSupported,
            _ => Status::Error,
        };
        prop_assert_eq!(response.status(), expected);
    }

    #[test]
    fn only_zero_is_success(words: [u64; RESPONSE_WORDS]) {
        let status = (words[1] >> 16) & 0xffff;
        let response = Response::from_words(words);
        prop_assert_eq!(response.status() == Status::Okay, status == 0);
        prop_assert_eq!(response.id(), words[0]);
    }
}
