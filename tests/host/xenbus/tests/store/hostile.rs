// SPDX-License-Identifier: GPL-2.0

//! A xenstored that breaks the protocol: X1 to X10 and X14 of the list of hostile behaviour. X11 to X13 concern what
//! nodes say, which is the bus's business.

use crate::{
    daemon::{
        Client,
        Daemon,
        Got,
        Page, //
    },
    matching::{
        table,
        Request, //
    },
};
use pure_xenbus::store::{
    exchange::{
        End,
        Failure, //
    },
    framer::TooLong,
    listing::names,
    phase::Phase,
    ring::{
        Corrupt,
        SIZE, //
    },
    wire::{
        error_number,
        kind,
        Header,
        Token,
        PAYLOAD_MAX, //
    }, //
};

const TOKEN: Token = Token(5);

pub fn world() -> (Page, Client, Daemon) {
    let mut page = Page::starting_at(u32::MAX - 3, 1000);
    let client = Client::new(table(4, 0), &mut page, &[(TOKEN, "path")]);
    (page, client, Daemon::default())
}

/// Asks, and has the daemon see it.
fn ask(page: &mut Page, client: &mut Client, daemon: &mut Daemon) -> Header {
    client.ask(kind::READ, b"path\0", 0).expect("room");
    client.send(page).expect("in order");
    daemon.read(page, 1000);
    daemon.requests.pop().expect("a request").0
}

fn receive_all(
    page: &mut Page,
    client: &mut Client,
    daemon: &mut Daemon,
) -> Result<Vec<Got>, Failure> {
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

pub fn event(payload: &[u8]) -> (Header, Vec<u8>) {
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
            Err(Failure::TooLong(TooLong {
                header: Header { length, ..header }
            }))
        );
        // Who waits gets an end, not a hang.
        assert_eq!(
            client.hands.got,
            [Got::Ended(Request(b"path\0".to_vec()), End::Broken)]
        );
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
    for path in ["/local/domain/0", "pathological", "", "pat"] {
        let (header, payload) = event(format!("{path}\00000000000000005\0").as_bytes());
        daemon.say(header, &payload);
        let got = receive_all(&mut page, &mut client, &mut daemon).expect("in order");
        assert_eq!(got, [Got::Overflow(TOKEN)], "{path}");
    }
}

#[test]
fn x6_indices_that_cannot_be_end_the_connection() {
    let begin = || {
        let (mut page, mut client, mut daemon) = world();
        let (header, payload) = event(b"path\00000000000000005\0");
        daemon.say(header, &payload);
        daemon.write(&mut page, 20);
        client.receive(&mut page, 10).expect("in order");
        (page, client)
    };
    let (page, _) = begin();
    let before = page.reply_producer;
    for claimed in [
        before.wrapping_sub(1),
        page.reply_consumer.wrapping_add(SIZE + 1),
        0,
    ] {
        let (mut page, mut client) = begin();
        page.reply_producer = claimed;
        let failure = client.receive(&mut page, 10).expect_err("noticed");
        assert_eq!(failure, Failure::Ring(Corrupt::Theirs { before, claimed }));
        assert_eq!(client.session.phase(), Phase::Broken);
    }
    let (mut page, mut client) = begin();
    page.reply_consumer ^= 1;
    assert!(matches!(
        client.receive(&mut page, 10),
        Err(Failure::Ring(Corrupt::Ours { .. }))
    ));

    let (mut page, mut client) = begin();
    client.ask(kind::READ, b"path\0", 0).expect("room");
    page.request_consumer = page.request_producer.wrapping_add(1);
    assert!(matches!(
        client.send(&mut page),
        Err(Failure::Ring(Corrupt::Theirs { .. }))
    ));
    assert!(client.session.requests.is_empty());
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
    client.ask(kind::READ, &[b'p'; 1200], 0).expect("room");
    client.send(&mut page).expect("in order");
    // xenstored empties the ring; both begin at the boundary of a message.
    (page.offers, page.reconnecting) = (true, true);
    client.send(&mut page).expect("nothing is touched");
    daemon.reconnect(&mut page);
    let page = &mut page;
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

/// Miri is hundreds of times slower.
const FLOOD: usize = if cfg!(miri) { 2_000 } else { 100_000 };

/// Events of one watch without end, others of another one and replies among them: none of these waits for longer than
/// what is in the ring before it, and nothing grows.
#[test]
fn x14_a_flood_of_one_watch_leaves_the_others_alone() {
    let (mut page, _, mut daemon) = world();
    let (flooded, other) = (TOKEN, Token(6));
    let watches = [(flooded, "path"), (other, "other")];
    let mut client = Client::new(table(4, 0), &mut page, &watches);
    let (flood, payload) = event(b"path\00000000000000005\0");
    let mut expected = vec![];
    // Rounds since what is expected was said.
    let (mut rounds, mut longest, mut arrived) = (0, 0, 0);
    let mut said = 0;
    while said < FLOOD || !expected.is_empty() || !daemon.is_silent() {
        // As much as there is room for, so that nothing waits outside of the ring for long.
        while said < FLOOD && daemon.has_room(&page) {
            daemon.say(flood, &payload);
            daemon.write(&mut page, SIZE as usize);
            said += 1;
        }
        if expected.is_empty() && said < FLOOD {
            let (header, payload) = event(b"other/node\00000000000000006\0");
            daemon.say(header, &payload);
            expected.push(Got::Event(b"other/node".to_vec(), other));
            client.ask(kind::READ, b"path\0", 0).expect("room");
            rounds = 0;
        }
        daemon.write(&mut page, SIZE as usize);
        client.round(&mut page, 0);
        daemon.read(&mut page, 1000);
        for (header, _) in std::mem::take(&mut daemon.requests) {
            daemon.say(header, b"value");
            let request = Request(b"path\0".to_vec());
            expected.push(Got::Reply(request, kind::READ, b"value".to_vec()));
        }
        rounds += 1;
        longest = longest.max(rounds);
        // The handler of the flooded watch is slow; the other one's is not.
        client.handle_one(other);
        for got in std::mem::take(&mut client.hands.got) {
            let place = expected.iter().position(|expected| *expected == got);
            expected.remove(place.expect("expected"));
            arrived += 1;
        }
    }
    assert!(longest <= 4, "{longest} rounds");
    assert!(arrived > FLOOD / 100, "{arrived}");
    client.handle();
    // 32 of the flood are kept, and one for the others.
    assert_eq!(client.hands.got.len(), 33);
    assert_eq!(client.hands.got.last(), Some(&Got::Overflow(flooded)));
    assert!(client.session.is_drained());
}
