// SPDX-License-Identifier: GPL-2.0

//! Messages out of a stream that is cut anywhere.

use proptest::prelude::*;
use pure_xenbus::store::{
    framer::Framer,
    wire::{
        Header,
        HEADER_SIZE,
        PAYLOAD_MAX, //
    }, //
};

/// A message as it goes over the ring.
pub fn message(header: Header, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        length: payload.len() as u32,
        ..header
    };
    [header.encode().as_slice(), payload].concat()
}

pub fn framer() -> Framer<Vec<u8>> {
    Framer::new(vec![0; PAYLOAD_MAX])
}

/// Feeds one piece; returns the messages that it completes, or where the stream is lost.
pub fn feed(
    framer: &mut Framer<Vec<u8>>,
    mut piece: &[u8],
) -> Result<Vec<(Header, Vec<u8>)>, Header> {
    let mut messages = Vec::new();
    while !piece.is_empty() {
        let (taken, message) = framer.take(piece).map_err(|long| long.header)?;
        assert!(taken > 0, "no progress");
        match message {
            Some(message) => {
                assert_eq!(message.header.length as usize, message.payload.len());
                messages.push((message.header, message.payload.to_vec()));
            }
            None => assert_eq!(taken, piece.len(), "left something without a message"),
        }
        piece = &piece[taken..];
    }
    Ok(messages)
}

fn any_message() -> impl Strategy<Value = (Header, Vec<u8>)> {
    let length = prop_oneof![Just(0), 1usize..40, Just(PAYLOAD_MAX), 0..=PAYLOAD_MAX];
    let payload = length.prop_flat_map(|length| prop::collection::vec(any::<u8>(), length));
    (any::<[u32; 3]>(), payload).prop_map(|([kind, id, transaction], payload)| {
        let length = payload.len() as u32;
        let header = Header {
            kind,
            id,
            transaction,
            length,
        };
        (header, payload)
    })
}

#[test]
fn a_message_cut_at_every_boundary() {
    let header = Header {
        kind: 2,
        id: 3,
        transaction: 4,
        length: 5,
    };
    let bytes = message(header, b"hello");
    for cut in 0..=bytes.len() {
        let mut framer = framer();
        let mut got = feed(&mut framer, &bytes[..cut]).expect("in order");
        assert_eq!(
            framer.is_idle(),
            cut == 0 || cut == bytes.len(),
            "cut {cut}"
        );
        got.extend(feed(&mut framer, &bytes[cut..]).expect("in order"));
        assert_eq!(got, [(header, b"hello".to_vec())], "cut {cut}");
        assert!(framer.is_idle());
    }
}

#[test]
fn an_empty_payload_is_whole_with_its_header() {
    let bytes = message(Header::default(), b"");
    assert_eq!(bytes.len(), HEADER_SIZE);
    assert_eq!(
        feed(&mut framer(), &bytes),
        Ok(vec![(Header::default(), vec![])])
    );
}

#[test]
fn the_longest_payload_is_taken_and_one_byte_more_is_not() {
    let payload = vec![7; PAYLOAD_MAX];
    let bytes = message(Header::default(), &payload);
    let got = feed(&mut framer(), &bytes).expect("in order");
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].1, payload);

    for length in [PAYLOAD_MAX as u32 + 1, 1 << 31, u32::MAX] {
        let mut framer = framer();
        let header = Header {
            length,
            ..Header::default()
        };
        assert_eq!(feed(&mut framer, &header.encode()), Err(header));
        // It stays lost until somebody begins anew.
        assert_eq!(feed(&mut framer, &bytes), Err(header));
        assert!(!framer.is_idle());
        framer.reset();
        assert!(framer.is_idle());
        assert_eq!(feed(&mut framer, &bytes).expect("in order").len(), 1);
    }
}

#[test]
fn a_reset_in_the_middle_begins_a_new_message() {
    let bytes = message(
        Header {
            id: 9,
            ..Header::default()
        },
        b"abc",
    );
    for cut in 0..bytes.len() {
        let mut framer = framer();
        assert_eq!(feed(&mut framer, &bytes[..cut]), Ok(vec![]));
        framer.reset();
        assert_eq!(
            feed(&mut framer, &bytes).expect("in order").len(),
            1,
            "cut {cut}"
        );
    }
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(
        messages in prop::collection::vec(any_message(), 0..6),
        pieces in prop::collection::vec(1usize..1500, 1..50),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(|(header, payload)| message(*header, payload)).collect();
        let mut framer = framer();
        let mut got = Vec::new();
        let mut at = 0;
        for piece in pieces.iter().cycle() {
            if at == stream.len() {
                break;
            }
            let end = stream.len().min(at + piece);
            got.extend(feed(&mut framer, &stream[at..end]).expect("in order"));
            at = end;
        }
        prop_assert_eq!(got, messages);
        prop_assert!(framer.is_idle());
    }

    /// Whatever the bytes are, and however they are cut: the same messages, then perhaps the same loss.
    #[test]
    fn cutting_changes_nothing(stream: Vec<u8>, piece in 1usize..40) {
        let whole = feed(&mut framer(), &stream);
        let mut framer = framer();
        let mut got = Vec::new();
        let mut lost = None;
        for piece in stream.chunks(piece) {
            match feed(&mut framer, piece) {
                Ok(messages) => got.extend(messages),
                Err(header) => {
                    lost = Some(header);
                    break;
                }
            }
        }
        match whole {
            Ok(messages) => prop_assert_eq!((got, lost), (messages, None)),
            Err(header) => prop_assert_eq!(lost, Some(header)),
        }
    }
}
