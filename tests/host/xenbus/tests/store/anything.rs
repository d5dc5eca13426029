// SPDX-License-Identifier: GPL-2.0

//! A xenstored that says anything, mostly close to what may be said.

use crate::{
    daemon::{
        Daemon,
        Got,
        Page,
        LIMIT, //
    },
    hostile::{
        event,
        world, //
    },
};
use proptest::{
    prelude::*,
    test_runner::TestRunner, //
};
use pure_xenbus::store::{
    ring::SIZE,
    wire::{
        kind,
        Header,
        PAYLOAD_MAX, //
    }, //
};
use std::cell::Cell;

/// What comes, mostly close to what may come.
#[derive(Clone, Debug)]
enum Step {
    /// A message, cut after so many bytes.
    Message(Header, Vec<u8>, usize),
    /// An event.
    Event(Vec<u8>),
    Raw(Vec<u8>),
    Index(u32),
    Error(u32),
    Wait(u64),
    /// xenstored gives the connection a new beginning if it is asked to.
    Reconnect,
}

fn header() -> impl Strategy<Value = Header> {
    let kind = prop_oneof![
        6 => prop::sample::select(vec![kind::READ, kind::TRANSACTION_START, kind::ERROR]),
        2 => 0u32..25,
        1 => any::<u32>(),
    ];
    let id = prop_oneof![8 => 0u32..5, 1 => any::<u32>()];
    let length = prop_oneof![
        8 => 0u32..40,
        3 => 0..=PAYLOAD_MAX as u32,
        1 => any::<u32>(),
    ];
    (kind, id, 0u32..2, length).prop_map(|(kind, id, transaction, length)| Header {
        kind,
        id,
        transaction,
        length,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let whole = prop_oneof![5 => Just(usize::MAX), 1 => 0usize..60];
    let payload = prop::sample::select(vec![&b"17\0"[..], b"ENOENT\0", b"", b"\xff"]);
    let path = prop::sample::select(vec!["path", "path/below", "elsewhere", ""]);
    let token = prop::sample::select(vec!["0000000000000005", "0000000000000006", "5"]);
    prop_oneof![
        8 => (header(), payload, whole).prop_map(|(header, start, cut)| {
            let mut payload = start.to_vec();
            payload.resize((header.length as usize).min(PAYLOAD_MAX), b'x');
            Step::Message(header, payload, cut)
        }),
        3 => (path, token).prop_map(|(path, token)| Step::Event(format!("{path}\0{token}\0").into_bytes())),
        1 => any::<Vec<u8>>().prop_map(Step::Raw),
        1 => any::<u32>().prop_map(Step::Index),
        1 => (1u32..5).prop_map(Step::Error),
        2 => (1..2 * LIMIT).prop_map(Step::Wait),
        3 => Just(Step::Reconnect),
    ]
}

/// Carries out a step.
fn take(step: Step, page: &mut Page, daemon: &mut Daemon, now: &mut u64) {
    match step {
        Step::Message(header, payload, cut) => {
            let bytes = [header.encode().as_slice(), &payload].concat();
            daemon.say_raw(&bytes[..cut.min(bytes.len())]);
        }
        Step::Event(payload) => daemon.say(event(&payload).0, &payload),
        Step::Raw(bytes) => daemon.say_raw(&bytes),
        Step::Index(index) => page.reply_producer = index,
        Step::Error(error) => page.error = Some(error),
        Step::Wait(time) => *now += time,
        Step::Reconnect if page.reconnecting => daemon.reconnect(page),
        Step::Reconnect => {}
    }
}

/// Whatever bytes and indices come: each request ends once, and there is no panic.
#[test]
fn anything_at_all() {
    let mut runner = TestRunner::default();
    let steps = prop::collection::vec(step(), 0..40);
    // What was met, so that this test shows that it tries something.
    let met = Cell::new([0; 6]);
    let result = runner.run(&(steps, any::<bool>()), |(steps, offers)| {
        let (mut page, mut client, mut daemon) = world();
        page.offers = offers;
        let mut now = 0;
        for kind in [kind::READ, kind::TRANSACTION_START, kind::READ] {
            client.ask(kind, b"path\0", now).expect("room");
        }
        for step in steps {
            take(step, &mut page, &mut daemon, &mut now);
            for _ in 0..6 {
                if page.reply_producer.wrapping_sub(page.reply_consumer) <= SIZE {
                    daemon.write(&mut page, 1000);
                }
                client.round(&mut page, now);
            }
        }
        client.handle();
        let (mut ends, mut count) = (0, met.get());
        for got in &client.hands.got {
            let (place, end) = match got {
                Got::Reply(..) => (0, 1),
                Got::WrongType(_) => (1, 1),
                Got::Ended(..) => (2, 1),
                Got::Event(..) => (3, 0),
                _ => (4, 0),
            };
            ends += end;
            count[place] += 1;
        }
        count[5] += client.hands.began;
        met.set(count);
        prop_assert_eq!(
            ends + client.session.requests.len() - client.session.requests.given_up(),
            3 + client.hands.aborts
        );
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.unwrap_err());
    // Under Miri there are a few cases only.
    if ProptestConfig::default().cases >= 100 {
        assert!(met.get().iter().all(|met| *met >= 10), "{:?}", met.get());
    }
}
