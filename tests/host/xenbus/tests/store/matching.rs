// SPDX-License-Identifier: GPL-2.0

//! Requests and their replies.

use pure_xenbus::store::{
    matcher::{
        self,
        Match,
        Matcher,
        Sending,
        Slot, //
    },
    wire::{
        kind,
        Header,
        HEADER_SIZE, //
    }, //
};
use std::convert::Infallible;

/// A request that is known by its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request(pub Vec<u8>);

impl matcher::Request for Request {
    fn payload(&self) -> &[u8] {
        &self.0
    }
}

pub type Table = Matcher<Request, Vec<Slot<Request>>>;

pub fn table(slots: usize, first_number: u32) -> Table {
    Matcher::new((0..slots).map(|_| Slot::default()).collect(), first_number)
}

fn request(text: &str) -> Request {
    Request(text.into())
}

/// Sends into a buffer that takes so many bytes.
pub fn send(table: &mut Table, room: usize) -> Vec<u8> {
    send_where(table, room, |_| true)
}

pub fn send_where(
    table: &mut Table,
    mut room: usize,
    may_begin: impl Fn(&Header) -> bool,
) -> Vec<u8> {
    let mut sent = Vec::new();
    let result = table.send(may_begin, |bytes| {
        let taken = bytes.len().min(room);
        room -= taken;
        sent.extend_from_slice(&bytes[..taken]);
        Ok::<_, Infallible>(taken)
    });
    let Ok(result) = result;
    assert!(result == Sending::Done || room == 0);
    sent
}

fn reply_to(id: u32) -> Header {
    Header {
        kind: kind::READ,
        id,
        transaction: 0,
        length: 0,
    }
}

fn add(table: &mut Table, text: &str) -> u32 {
    table.add(kind::READ, 0, request(text), 1000).expect("room")
}

#[test]
fn requests_go_out_whole_and_in_order() {
    let mut table = table(4, 100);
    let ids: Vec<u32> = ["a", "bb", ""]
        .iter()
        .map(|text| add(&mut table, text))
        .collect();
    let mut expected = Vec::new();
    for (id, text) in ids.iter().zip(["a", "bb", ""]) {
        let header = Header {
            length: text.len() as u32,
            ..reply_to(*id)
        };
        expected.extend(header.encode());
        expected.extend(text.as_bytes());
    }
    // However little there is room for at once.
    let mut sent = Vec::new();
    while sent.len() < expected.len() {
        sent.extend(send(&mut table, 7));
    }
    assert_eq!(sent, expected);
    assert_eq!(send(&mut table, 1000), b"");
    assert_eq!(table.in_flight(), 3);
}

#[test]
fn replies_come_in_any_order_and_only_once() {
    let mut table = table(4, u32::MAX);
    let ids: Vec<u32> = ["a", "b", "c"]
        .iter()
        .map(|text| add(&mut table, text))
        .collect();
    assert_eq!(ids, [u32::MAX, 0, 1]);
    send(&mut table, 1000);
    for (id, text) in ids.iter().zip(["a", "b", "c"]).rev() {
        assert_eq!(table.reply(&reply_to(*id)), Match::Reply(request(text)));
        assert_eq!(table.reply(&reply_to(*id)), Match::Unknown);
    }
    assert!(table.is_empty());
}

#[test]
fn a_reply_is_of_the_requests_type_or_an_error() {
    let mut table = table(1, 0);
    for (kind, expected) in [
        (kind::READ, Match::Reply(request("a"))),
        (kind::ERROR, Match::Reply(request("a"))),
        (kind::WRITE, Match::WrongType(request("a"))),
        (u32::MAX, Match::WrongType(request("a"))),
    ] {
        let id = add(&mut table, "a");
        send(&mut table, 1000);
        assert_eq!(
            table.reply(&Header {
                kind,
                ..reply_to(id)
            }),
            expected
        );
        assert!(table.is_empty());
    }
}

#[test]
fn a_reply_to_what_was_not_sent_is_unknown() {
    let mut table = table(2, 0);
    let id = add(&mut table, "abc");
    assert_eq!(table.reply(&reply_to(id)), Match::Unknown);
    send(&mut table, HEADER_SIZE + 1);
    assert_eq!(table.reply(&reply_to(id)), Match::Unknown);
    send(&mut table, 2);
    assert_eq!(table.reply(&reply_to(id)), Match::Reply(request("abc")));
}

#[test]
fn a_full_table_gives_the_request_back() {
    let mut table = table(2, 0);
    add(&mut table, "a");
    let second = add(&mut table, "b");
    assert_eq!(table.add(kind::READ, 0, request("c"), 0), Err(request("c")));
    send(&mut table, 1000);
    table.reply(&reply_to(second));
    add(&mut table, "c");
    assert_eq!(table.len(), 2);
}

#[test]
fn what_waits_too_long_ends_and_its_late_reply_is_unknown() {
    let mut table = table(4, 0);
    let early = table
        .add(kind::READ, 0, request("early"), 10)
        .expect("room");
    let late = table.add(kind::READ, 0, request("late"), 20).expect("room");
    send(&mut table, 1000);
    let mut ended = Vec::new();
    table.expire(9, |request| ended.push(request.clone()));
    assert_eq!(ended, []);
    table.expire(10, |request| ended.push(request.clone()));
    assert_eq!(ended, [request("early")]);
    assert_eq!(table.reply(&reply_to(early)), Match::Unknown);
    // The slot is used anew, and the late reply still meets nobody.
    let next = add(&mut table, "next");
    send(&mut table, 1000);
    assert_eq!(table.reply(&reply_to(early)), Match::Unknown);
    assert_eq!(table.reply(&reply_to(next)), Match::Reply(request("next")));
    assert_eq!(table.reply(&reply_to(late)), Match::Reply(request("late")));
}

#[test]
fn what_is_given_up_in_the_middle_of_the_ring_is_sent_to_its_end() {
    let mut table = table(2, 0);
    let id = table
        .add(kind::READ, 0, request("abcdef"), 10)
        .expect("room");
    add(&mut table, "x");
    let mut sent = send(&mut table, HEADER_SIZE + 2);
    let mut ended = 0;
    table.expire(10, |_| ended += 1);
    table.expire(10, |_| ended += 1);
    assert_eq!(ended, 1);
    assert_eq!(table.len(), 2);
    sent.extend(send(&mut table, 1000));
    assert_eq!(&sent[HEADER_SIZE..HEADER_SIZE + 6], b"abcdef");
    assert_eq!(sent.len(), 2 * HEADER_SIZE + 7);
    // Gone with its last byte.
    assert_eq!(table.len(), 1);
    assert_eq!(table.reply(&reply_to(id)), Match::Unknown);
}

#[test]
fn what_has_not_begun_is_taken_out_when_it_is_given_up() {
    let mut table = table(2, 0);
    add(&mut table, "a");
    table.give_up(|request| request.0 == b"a", |_| {});
    assert!(table.is_empty());
    assert_eq!(send(&mut table, 1000), b"");
}

/// The end of a transaction and that of a watch.
fn ends(table: &mut Table, deadline: u64) -> [u32; 2] {
    [
        (kind::TRANSACTION_END, 5, "T\0"),
        (kind::UNWATCH, 0, "path\0token\0"),
    ]
    .map(|(kind, transaction, text)| {
        table
            .add(kind, transaction, request(text), deadline)
            .expect("room")
    })
}

#[test]
fn what_gives_something_back_is_sent_however_late() {
    let mut table = table(3, 0);
    let ids = ends(&mut table, 10);
    table.add(kind::READ, 0, request("a"), 10).expect("room");
    let mut ended = 0;
    table.expire(10, |_| ended += 1);
    table.expire(u64::MAX, |_| ended += 1);
    table.give_up(|_| true, |_| ended += 1);
    assert_eq!(ended, 3);
    assert_eq!(
        (table.len(), table.given_up(), table.unsent_ends()),
        (2, 2, 2)
    );
    assert_eq!((table.in_flight(), table.awaited()), (0, 0));
    // Their number is bounded by the places.
    add(&mut table, "b");
    assert_eq!(table.add(kind::READ, 0, request("c"), 0), Err(request("c")));
    let sent = send(&mut table, 1000);
    // Whoever wanted the commit was told that it has failed.
    let end = Header {
        kind: kind::TRANSACTION_END,
        id: ids[0],
        transaction: 5,
        length: 2,
    };
    let abort = [end.encode().as_slice(), b"F\0"].concat();
    assert!(sent.starts_with(&abort));
    let unwatch = &sent[abort.len() + HEADER_SIZE..];
    assert!(unwatch.starts_with(b"path\0token\0"));
    // Gone with their last bytes.
    assert_eq!(
        (table.len(), table.given_up(), table.unsent_ends()),
        (1, 0, 0)
    );
    for id in ids {
        assert_eq!(table.reply(&reply_to(id)), Match::Unknown);
    }
}

#[test]
fn an_end_that_is_given_up_halfway_follows_as_it_was() {
    let mut table = table(2, 0);
    ends(&mut table, 10);
    let mut sent = send(&mut table, 5);
    table.expire(10, |_| {});
    sent.extend(send(&mut table, 1000));
    assert_eq!(&sent[HEADER_SIZE..][..2], b"T\0");
    assert!(table.is_empty());
}

#[test]
fn a_new_connection_knows_of_nothing_to_give_back() {
    for begin in [
        (|table| table.restart(|_| panic!("ended twice"))) as fn(&mut Table),
        |table| table.clear(|_| panic!("ended twice")),
    ] {
        let mut table = table(2, 0);
        ends(&mut table, 10);
        table.expire(10, |_| {});
        begin(&mut table);
        assert!(table.is_empty());
        assert_eq!(send(&mut table, 1000), b"");
    }
}

#[test]
fn while_a_suspend_is_near_only_transactions_go_on() {
    let mut table = table(4, 0);
    add(&mut table, "begun");
    let mut sent = send(&mut table, 3);
    add(&mut table, "held");
    table
        .add(kind::WRITE, 5, request("inside"), 0)
        .expect("room");
    sent.extend(send_where(&mut table, 1000, |header| {
        header.transaction != 0
    }));
    // What was begun was finished first.
    assert_eq!(sent.len(), 2 * HEADER_SIZE + "begun".len() + "inside".len());
    assert!(sent.ends_with(b"inside"));
    assert_eq!((table.len(), table.in_flight()), (3, 2));
    assert!(send(&mut table, 1000).ends_with(b"held"));
}

#[test]
fn a_new_connection_gets_everything_again_but_the_transactions() {
    let mut table = table(8, 0);
    let first = add(&mut table, "first");
    table
        .add(kind::WRITE, 5, request("inside"), 0)
        .expect("room");
    table
        .add(kind::TRANSACTION_END, 5, request("T"), 0)
        .expect("room");
    let partly = add(&mut table, "partly");
    let waiting = add(&mut table, "waiting");
    send(&mut table, 3 * HEADER_SIZE + 12 + 20);
    let mut lost = Vec::new();
    table.restart(|request| lost.push(request));
    assert_eq!(lost, [request("inside"), request("T")]);
    assert_eq!(table.in_flight(), 0);
    let sent = send(&mut table, 1000);
    let text: Vec<u8> = ["first", "partly", "waiting"].concat().into();
    assert_eq!(sent.len(), 3 * HEADER_SIZE + text.len());
    for (id, name) in [(first, "first"), (partly, "partly"), (waiting, "waiting")] {
        assert_eq!(table.reply(&reply_to(id)), Match::Reply(request(name)));
    }
}

#[test]
fn a_new_connection_forgets_what_was_given_up() {
    let mut table = table(2, 0);
    table.add(kind::READ, 0, request("abc"), 10).expect("room");
    send(&mut table, 5);
    table.expire(10, |_| {});
    table.restart(|_| panic!("ended twice"));
    assert!(table.is_empty());
}

#[test]
fn a_broken_connection_ends_all_once() {
    let mut table = table(4, 0);
    table
        .add(kind::READ, 0, request("given up"), 10)
        .expect("room");
    send(&mut table, 5);
    table.expire(10, |_| {});
    add(&mut table, "a");
    add(&mut table, "b");
    let mut ended = Vec::new();
    table.clear(|request| ended.push(request));
    assert_eq!(ended, [request("a"), request("b")]);
    assert!(table.is_empty());
}

#[test]
fn an_error_of_the_ring_loses_no_request() {
    let mut table = table(2, 0);
    let id = add(&mut table, "abc");
    assert_eq!(
        table.send(|_| true, |_| Err::<usize, _>("broken")),
        Err("broken")
    );
    assert_eq!(table.len(), 1);
    send(&mut table, 1000);
    assert_eq!(table.reply(&reply_to(id)), Match::Reply(request("abc")));
}

#[test]
fn a_writer_that_claims_more_than_it_was_given_breaks_nothing() {
    let mut table = table(1, 0);
    add(&mut table, "abc");
    let Ok(sending) = table.send(|_| true, |bytes| Ok::<_, Infallible>(bytes.len() + 1000));
    assert_eq!(sending, Sending::Done);
    assert_eq!(table.in_flight(), 1);
}

#[test]
fn new_deadlines_after_a_suspend() {
    let mut table = table(1, 0);
    table.add(kind::READ, 0, request("a"), 10).expect("room");
    table.prolong(50);
    table.expire(49, |_| panic!("too early"));
    let mut ended = 0;
    table.expire(50, |_| ended += 1);
    assert_eq!(ended, 1);
}
