// SPDX-License-Identifier: GPL-2.0

//! Replies that come when nobody waits for them any more.

use crate::matching::{
    send,
    table,
    Request,
    Table, //
};
use pure_xenbus::store::{
    matcher::Match,
    wire::{
        kind,
        Header, //
    }, //
};

fn opening(table: &mut Table, deadline: u64) -> u32 {
    table
        .add(kind::TRANSACTION_START, 0, Request(vec![0]), deadline)
        .expect("room")
}

fn reply(kind: u32, id: u32) -> Header {
    Header {
        kind,
        id,
        ..Header::default()
    }
}

#[test]
fn a_transaction_that_is_opened_too_late_is_told_once() {
    let mut table = table(4, 7);
    let id = opening(&mut table, 10);
    send(&mut table, 1000);
    table.expire(10, |_| {});
    let late = reply(kind::TRANSACTION_START, id);
    assert_eq!(table.reply(&late), Match::Late);
    assert_eq!(table.reply(&late), Match::Unknown);
}

#[test]
fn a_second_reply_to_an_opening_is_not_late() {
    let mut table = table(4, 7);
    let id = opening(&mut table, 10);
    send(&mut table, 1000);
    let opened = reply(kind::TRANSACTION_START, id);
    assert_eq!(table.reply(&opened), Match::Reply(Request(vec![0])));
    // The transaction is in use.
    assert_eq!(table.reply(&opened), Match::Unknown);
}

#[test]
fn only_what_xenstored_has_seen_can_be_late() {
    let mut table = table(4, 7);
    let id = opening(&mut table, 10);
    table.expire(10, |_| {});
    assert_eq!(send(&mut table, 1000), b"");
    assert_eq!(
        table.reply(&reply(kind::TRANSACTION_START, id)),
        Match::Unknown
    );
}

#[test]
fn an_opening_that_is_given_up_halfway_can_be_late() {
    let mut table = table(4, 7);
    let id = opening(&mut table, 10);
    send(&mut table, 5);
    table.give_up(|_| true, |_| {});
    send(&mut table, 1000);
    assert!(table.is_empty());
    assert_eq!(
        table.reply(&reply(kind::TRANSACTION_START, id)),
        Match::Late
    );
}

#[test]
fn other_late_replies_leave_nothing_to_do() {
    let mut table = table(4, 7);
    let read = table
        .add(kind::READ, 0, Request(vec![0]), 10)
        .expect("room");
    let refused = opening(&mut table, 10);
    send(&mut table, 1000);
    table.expire(10, |_| {});
    assert_eq!(table.reply(&reply(kind::READ, read)), Match::Unknown);
    // It was not opened, and that is the only reply.
    assert_eq!(table.reply(&reply(kind::ERROR, refused)), Match::Unknown);
    assert_eq!(
        table.reply(&reply(kind::TRANSACTION_START, refused)),
        Match::Unknown
    );
}

#[test]
fn nothing_is_late_over_a_new_connection() {
    for begin in [(|table| table.restart(|_| {})) as fn(&mut Table), |table| {
        table.clear(|_| {})
    }] {
        let mut table = table(4, 7);
        let id = opening(&mut table, 10);
        send(&mut table, 1000);
        table.expire(10, |_| {});
        begin(&mut table);
        assert_eq!(
            table.reply(&reply(kind::TRANSACTION_START, id)),
            Match::Unknown
        );
    }
}

#[test]
fn of_many_late_openings_the_last_are_remembered() {
    let mut table = table(64, u32::MAX - 3);
    let ids: Vec<u32> = (0..20).map(|_| opening(&mut table, 10)).collect();
    send(&mut table, 10_000);
    table.expire(10, |_| {});
    let late = ids
        .iter()
        .filter(|id| table.reply(&reply(kind::TRANSACTION_START, **id)) == Match::Late)
        .count();
    assert_eq!(late, 8);
}
