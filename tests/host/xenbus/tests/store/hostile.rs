// SPDX-License-Identifier: GPL-2.0

//! A xenstored that breaks the protocol: X1 to X10 and X14 of the list of hostile behaviour. X11 to X13 concern what
//! nodes say, which is the bus's business.

use crate::{
    daemon::{
        Client,
        Daemon,
        Got,
        Lost,
        Page, //
    },
    matching::{
        table,
        Request, //
    },
};
use proptest::prelude::*;
use pure_xenbus::store::{
    backlog::Backlog,
    listing::names,
    ring::{
        Corrupt,
        SIZE, //
    },
    wire::{
        error_number,
        is_below,
        kind,
        Header,
        Token,
        PAYLOAD_MAX, //
    }, //
};

const TOKEN: Token = Token(5);

fn world() -> (Page, Client, Daemon) {
    let page = Page::starting_at(u32::MAX - 3, 1000);
    let client = Client::new(table(4, 0), &page, vec![TOKEN]);
    (page, client, Daemon::default())
}

/// Asks, and has the daemon see it.
fn ask(page: &mut Page, client: &mut Client, daemon: &mut Daemon) -> Header {
    client
        .table
        .add(kind::READ, 0, Request(b"path\0".to_vec()), 50)
        .expect("room");
    client.send(page).expect("in order");
    daemon.read(page, 1000);
    daemon.requests.pop().expect("a request").0
}

fn receive_all(
    page: &mut Page,
    client: &mut Client,
    daemon: &mut Daemon,
) -> Result<Vec<Got>, Lost> {
    let mut got = Vec::new();
    loop {
        daemon.write(page, 1000);
        let silent = daemon.is_silent();
        let more = client.receive(page, 300)?;
        if more.is_empty() && silent && page.reply_consumer == page.reply_producer {
            return Ok(got);
        }
        got.extend(more);
    }
}

fn event(payload: &[u8]) -> (Header, Vec<u8>) {
    (
        Header {
            kind: kind::WATCH_EVENT,
            ..Header::default()
        },
        payload.to_vec(),
    )
}

#[test]
fn x1_a_length_beyond_the_protocol_is_the_end_of_the_connection() {
    for length in [PAYLOAD_MAX as u32 + 1, u32::MAX] {
        let (mut page, mut client, mut daemon) = world();
        let header = ask(&mut page, &mut client, &mut daemon);
        daemon.say_raw(&Header { length, ..header }.encode());
        assert_eq!(
            receive_all(&mut page, &mut client, &mut daemon),
            Err(Lost::TooLong(length))
        );
        // Who waits gets an end, not a hang.
        let mut ended = 0;
        client.table.clear(|_| ended += 1);
        assert_eq!(ended, 1);
    }
}

#[test]
fn x2_x3_replies_that_nobody_waits_for_are_ignored() {
    let (mut page, mut client, mut daemon) = world();
    let header = ask(&mut page, &mut client, &mut daemon);
    let stranger = Header {
        id: header.id.wrapping_add(1000),
        ..header
    };
    daemon.say(stranger, b"no");
    daemon.say(header, b"yes");
    daemon.say(header, b"again");
    let got = receive_all(&mut page, &mut client, &mut daemon).expect("in order");
    assert_eq!(
        got,
        [
            Got::Unknown(stranger.id),
            Got::Reply(Request(b"path\0".to_vec()), kind::READ, b"yes".to_vec()),
            Got::Unknown(header.id),
        ]
    );
}

#[test]
fn x4_a_reply_of_another_type_ends_its_request_only() {
    let (mut page, mut client, mut daemon) = world();
    let first = ask(&mut page, &mut client, &mut daemon);
    let second = ask(&mut page, &mut client, &mut daemon);
    daemon.say(
        Header {
            kind: kind::WRITE,
            ..first
        },
        b"OK\0",
    );
    daemon.say(
        Header {
            kind: kind::ERROR,
            ..second
        },
        b"EWHATEVER\0",
    );
    let got = receive_all(&mut page, &mut client, &mut daemon).expect("in order");
    let request = || Request(b"path\0".to_vec());
    assert_eq!(
        got,
        [
            Got::WrongType(request()),
            Got::Reply(request(), kind::ERROR, b"EWHATEVER\0".to_vec())
        ]
    );
    assert_eq!(error_number(b"EWHATEVER\0"), None);
}

#[test]
fn x5_events_that_are_none_are_ignored() {
    let (mut page, mut client, mut daemon) = world();
    let long = vec![b'x'; PAYLOAD_MAX];
    let bad = [&b""[..], b"no nul", b"one\0", b"a\0b", b"a\0b\0c\0", &long];
    for payload in bad {
        let (header, payload) = event(payload);
        daemon.say(header, &payload);
    }
    for token in ["0000000000000006\0", "5\0", "\0", "ffffffffffffffff0\0"] {
        let (header, payload) = event(format!("path\0{token}").as_bytes());
        daemon.say(header, &payload);
    }
    let (header, payload) = event(b"path\00000000000000005\0");
    daemon.say(header, &payload);
    let got = receive_all(&mut page, &mut client, &mut daemon).expect("in order");
    let mut expected: Vec<Got> = bad.iter().map(|_| Got::MalformedEvent).collect();
    expected.extend((0..4).map(|_| Got::UnknownToken));
    expected.push(Got::Event(b"path".to_vec(), TOKEN));
    assert_eq!(got, expected);
    // A path outside of what is watched is told as a change of the watched path.
    assert!(!is_below(b"device", b"/local/domain/0"));
}

#[test]
fn x6_indices_that_cannot_be_end_the_connection() {
    let (mut page, mut client, mut daemon) = world();
    daemon.say(
        event(b"path\00000000000000005\0").0,
        b"path\00000000000000005\0",
    );
    daemon.write(&mut page, 20);
    client.receive(&mut page, 10).expect("in order");
    for claimed in [
        page.reply_producer.wrapping_sub(1),
        page.reply_consumer.wrapping_add(SIZE + 1),
        0,
    ] {
        let before = std::mem::replace(&mut page.reply_producer, claimed);
        let lost = client.receive(&mut page, 10).expect_err("noticed");
        assert_eq!(lost, Lost::Ring(Corrupt::Theirs { before, claimed }));
        page.reply_producer = before;
    }
    page.reply_consumer ^= 1;
    assert!(matches!(
        client.receive(&mut page, 10),
        Err(Lost::Ring(Corrupt::Ours { .. }))
    ));

    client
        .table
        .add(kind::READ, 0, Request(b"path\0".to_vec()), 50)
        .expect("room");
    page.request_consumer = page.request_producer.wrapping_add(1);
    assert!(matches!(
        client.send(&mut page),
        Err(Lost::Ring(Corrupt::Theirs { .. }))
    ));
    // The request is still there, for the next connection.
    assert_eq!(client.table.len(), 1);
}

#[test]
fn x7_a_message_that_stops_half_way_ends_with_the_time_limit() {
    let (mut page, mut client, mut daemon) = world();
    let header = ask(&mut page, &mut client, &mut daemon);
    daemon.say_raw(&header.encode()[..7]);
    assert_eq!(receive_all(&mut page, &mut client, &mut daemon), Ok(vec![]));
    assert!(!client.framer.is_idle());
    let mut ended = 0;
    client.table.expire(50, |_| ended += 1);
    assert_eq!((ended, client.table.len()), (1, 0));
}

#[test]
fn x9_lists_with_anything_in_them() {
    for list in [&b"vbd"[..], b"a\0b"] {
        assert!(names(list).is_err());
    }
    let list = [&b"\0..\0a/b\0"[..], &[b'x'; 4000], b"\0ok\0"].concat();
    let good: Vec<&[u8]> = names(&list).expect("it ends").collect();
    assert_eq!(good, [b"ok"]);
}

#[test]
fn x10_a_new_connection_in_the_middle_of_messages() {
    let (mut page, mut client, mut daemon) = world();
    // One request is answered half way, one is sent half way.
    let header = ask(&mut page, &mut client, &mut daemon);
    daemon.say(header, b"a long value");
    daemon.write(&mut page, 20);
    client.receive(&mut page, 1000).expect("in order");
    client
        .table
        .add(kind::READ, 0, Request(vec![b'p'; 1200]), 50)
        .expect("room");
    client.send(&mut page).expect("in order");
    // xenstored empties the ring; both begin at the boundary of a message.
    let page = &mut Page::starting_at(0, 0);
    let Client { mut table, .. } = client;
    table.restart(|_| panic!("belongs to no transaction"));
    let mut client = Client::new(table, page, vec![TOKEN]);
    let mut daemon = Daemon::default();
    for _ in 0..5 {
        client.send(page).expect("in order");
        daemon.read(page, 1000);
    }
    assert_eq!(daemon.requests.len(), 2);
    for (header, _) in std::mem::take(&mut daemon.requests) {
        daemon.say(header, b"value");
    }
    let got = receive_all(page, &mut client, &mut daemon).expect("in order");
    assert!(
        matches!(&got[..], [Got::Reply(..), Got::Reply(..)]),
        "{got:?}"
    );
}

#[test]
fn x14_a_flood_of_one_watch_leaves_the_others_alone() {
    let mut flooded = Backlog::new(vec![None; 32]);
    let mut other = Backlog::new(vec![None; 32]);
    for number in 0..100_000 {
        flooded.push(number);
        if number % 10_000 == 0 {
            assert!(other.push(number));
        }
    }
    let mut calls = 0;
    while flooded.pop().is_some() {
        calls += 1;
    }
    assert_eq!(calls, 33);
    assert_eq!(std::iter::from_fn(|| other.pop()).count(), 10);
}

proptest! {
    /// Whatever bytes and indices come: an end or none, but never a panic or a reply that was not asked for.
    #[test]
    fn anything_at_all(
        pieces in prop::collection::vec((any::<Vec<u8>>(), prop::option::weighted(0.1, any::<u32>())), 0..20),
    ) {
        let (mut page, mut client, mut daemon) = world();
        for _ in 0..3 {
            ask(&mut page, &mut client, &mut daemon);
        }
        let mut replies = 0;
        for (bytes, index) in pieces {
            daemon.say_raw(&bytes);
            daemon.write(&mut page, 1000);
            if let Some(index) = index {
                page.reply_producer = index;
            }
            match client.receive(&mut page, 1000) {
                Ok(got) => {
                    replies += got.iter().filter(|got| matches!(got, Got::Reply(..) | Got::WrongType(_))).count();
                }
                Err(_) => return Ok(()),
            }
        }
        prop_assert_eq!(replies + client.table.len(), 3);
    }
}
