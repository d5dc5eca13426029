// SPDX-License-Identifier: GPL-2.0

//! What xenstored writes into the ring, as bytes that mean anything: the first byte says what is tried, the rest is
//! what it is tried with. A panic is a finding.

use pure_xenbus::store::{
    framer::Framer,
    listing::{
        bad_names,
        names,
        Part,
        Parts,
        LIST_MAX, //
    },
    matcher::{
        self,
        Match,
        Matcher,
        Slot, //
    },
    ring::{
        Incoming,
        Outgoing,
        SIZE, //
    },
    wire::{
        error_number,
        is_below,
        kind,
        transaction_number,
        two_strings,
        watch_request,
        Header,
        Token,
        HEADER_SIZE,
        PAYLOAD_MAX, //
    }, //
};
use std::convert::Infallible;

/// One run.
pub fn run(data: &[u8]) {
    let Some((what, rest)) = data.split_first() else {
        return;
    };
    match what % 4 {
        0 => stream(rest),
        1 => payload(rest),
        2 => indices(rest),
        _ => requests(rest),
    }
}

/// All messages of a stream; [`None`] at the end where it is lost.
fn messages(stream: &[u8], mut piece: impl FnMut() -> usize) -> Vec<Option<(Header, Vec<u8>)>> {
    let mut framer = Framer::new(vec![0; PAYLOAD_MAX]);
    let mut found = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let end = stream.len().min(at + piece().max(1));
        match framer.take(&stream[at..end]) {
            Ok((taken, message)) => {
                assert!(taken > 0 && (message.is_some() || at + taken == end));
                at += taken;
                if let Some(message) = message {
                    assert_eq!(message.header.length as usize, message.payload.len());
                    payload(message.payload);
                    found.push(Some((message.header, message.payload.to_vec())));
                }
            }
            Err(long) => {
                assert!(long.header.length as usize > PAYLOAD_MAX);
                found.push(None);
                break;
            }
        }
    }
    found
}

/// A stream of messages: the same ones however it is cut.
fn stream(data: &[u8]) {
    let (cuts, stream) = data.split_at(data.len().min(8));
    let mut next = cuts.iter().cycle();
    let cut = messages(stream, || next.next().map_or(1, |cut| usize::from(*cut)));
    assert_eq!(cut, messages(stream, || usize::MAX / 2));
}

/// All that is read out of payloads.
fn payload(payload: &[u8]) {
    if let Some((path, token)) = two_strings(payload) {
        assert!(!path.contains(&0) && !token.contains(&0));
        assert!(is_below(path, path) || path == b"");
        if let Some(parsed) = Token::parse(token) {
            assert_eq!(parsed.text().as_bytes_with_nul(), [token, &[0]].concat());
        }
    }
    if let Some((path, token)) = watch_request(payload) {
        assert!(payload.starts_with(&[path, &[0], token, &[0]].concat()));
    }
    let _ = error_number(payload);
    assert_ne!(transaction_number(payload), Some(0));
    if let Ok(list) = names(payload) {
        let good = list
            .inspect(|name| assert!(!name.is_empty() && !name.contains(&b'/')))
            .count();
        let all = payload.iter().filter(|byte| **byte == 0).count();
        assert_eq!(good + bad_names(payload), all);
    }
    let mut parts = Parts::new();
    for piece in payload.split(|byte| *byte == 0xff) {
        match parts.add(piece) {
            Ok(Part::More(names) | Part::Last(names)) => {
                assert!(names.is_empty() || names.ends_with(&[0]))
            }
            Ok(Part::Changed) => assert_eq!(parts.offset(), 0),
            Err(_) => {}
        }
        assert!(parts.offset() <= LIST_MAX + PAYLOAD_MAX);
    }
}

/// Numbers as the indices of the ring.
fn indices(data: &[u8]) {
    let mut numbers = data
        .chunks_exact(4)
        .filter_map(|bytes| bytes.first_chunk())
        .map(|bytes| u32::from_le_bytes(*bytes));
    let (Some(start), Some(used)) = (numbers.next(), numbers.next()) else {
        return;
    };
    let end = start.wrapping_add(used);
    let (incoming, outgoing) = (Incoming::attach(start, end), Outgoing::attach(start, end));
    assert_eq!(incoming.is_ok(), used <= SIZE);
    let (Ok(mut incoming), Ok(mut outgoing)) = (incoming, outgoing) else {
        return;
    };
    let (mut consumer, mut producer) = (start, end);
    while let (Some(claim), Some(count)) = (numbers.next(), numbers.next()) {
        if let Ok(Some(data)) = incoming.data(consumer, claim) {
            assert!(data.length > 0 && data.offset + data.length <= SIZE as usize);
            assert!(data.length as u32 <= claim.wrapping_sub(consumer));
            consumer = incoming.read((count as usize).min(data.length));
        }
        if let Ok(Some(room)) = outgoing.room(claim, producer) {
            assert!(room.length > 0 && room.offset + room.length <= SIZE as usize);
            assert!(room.length as u32 + producer.wrapping_sub(claim) <= SIZE);
            producer = outgoing.wrote((count as usize).min(room.length));
        }
    }
}

struct Request(Vec<u8>);

impl matcher::Request for Request {
    fn payload(&self) -> &[u8] {
        &self.0
    }
}

/// Requests, replies and ends in any order: each request ends once, and what is sent is whole messages.
fn requests(data: &[u8]) {
    let mut table = Matcher::new(
        (0..4).map(|_| Slot::default()).collect::<Vec<_>>(),
        u32::MAX - 2,
    );
    let mut stream = Vec::new();
    let (mut made, mut ended) = (0, 0);
    let mut last = 0;
    let kinds = [kind::READ, kind::TRANSACTION_START];
    for step in data.chunks_exact(2) {
        let (what, how) = (step[0], step[1]);
        match what % 6 {
            0 => {
                let request = Request(vec![what; usize::from(how)]);
                let kind = kinds[usize::from(what >> 7)];
                if let Ok(id) = table.add(kind, u32::from(how & 1), request, how.into()) {
                    (made, last) = (made + 1, id);
                }
            }
            1 => {
                let mut room = usize::from(how);
                let Ok(_) = table.send(
                    |header| what & 0x80 == 0 || header.transaction != 0,
                    |bytes| {
                        let taken = bytes.len().min(room);
                        room -= taken;
                        stream.extend_from_slice(&bytes[..taken]);
                        Ok::<_, Infallible>(taken)
                    },
                );
            }
            2 => {
                let header = Header {
                    kind: kinds[usize::from(what >> 7)],
                    id: last.wrapping_sub(u32::from(how % 8)),
                    ..Header::default()
                };
                let met = table.reply(&header);
                ended += usize::from(!matches!(met, Match::Unknown | Match::Late));
            }
            3 => table.expire(how.into(), |_| ended += 1),
            4 => table.give_up(
                |request| request.0.len() == usize::from(how),
                |_| ended += 1,
            ),
            _ => {
                table.restart(|_| ended += 1);
                whole_messages(&stream);
                stream.clear();
            }
        }
    }
    whole_messages(&stream);
    table.clear(|_| ended += 1);
    assert!(table.is_empty());
    assert_eq!(made, ended);
}

/// What was sent over one connection is messages, of which the last may not be whole.
fn whole_messages(mut stream: &[u8]) {
    while let Some(header) = stream.first_chunk().map(Header::decode) {
        assert!([kind::READ, kind::TRANSACTION_START].contains(&header.kind));
        assert!(header.length < 256);
        stream = stream
            .get(HEADER_SIZE + header.length as usize..)
            .unwrap_or_default();
    }
}
