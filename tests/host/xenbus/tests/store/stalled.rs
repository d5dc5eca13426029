// SPDX-License-Identifier: GPL-2.0

//! A xenstored that says nothing, or not the rest of a message, for a while or for ever: X7.

use crate::{
    daemon::{
        Daemon,
        Got,
        Page,
        LIMIT, //
    },
    matching::Request,
    session::{
        ended,
        reply,
        World, //
    },
};
use pure_xenbus::store::{
    exchange::{
        End,
        Failure, //
    },
    phase::Way,
    session::{
        STALLED_LIMIT_MS,
        TICK_MISSING,
        TICK_RECONNECTING, //
    },
    wire::{
        kind,
        Header, //
    }, //
};

const TIMED_OUT: End = End::TimedOut { stalled: false };

#[test]
fn x7_a_cut_message_is_waited_for_where_no_new_beginning_is_offered() {
    let mut world = World::new(false);
    let header = world.ask(0);
    world.say_part(header, b"value", 18);
    world.round(10);
    let session = &world.client.session;
    assert!(!session.is_quiet() && !session.is_between_messages());
    world.round(LIMIT);
    assert_eq!(
        (world.got(), world.failures()),
        (vec![ended(TIMED_OUT)], vec![])
    );
    // Nobody waits, and it is looked at all the same.
    assert_eq!(world.client.session.tick(true, false), Some(TICK_MISSING));
    world.round(10 + LIMIT);
    assert_eq!(world.failures(), [(Failure::Stalled(LIMIT), Way::Wait)]);
    assert!(world.client.session.is_stalled());
    // A suspend need not wait for the rest.
    assert!(world.client.session.is_quiet());
    for round in 0u64..100 {
        let now = 20_000 + round * 2000;
        // Only what gives something back is sent.
        world.client.ask(kind::READ, b"path\0", now).expect("room");
        let end = world.client.ask(kind::UNWATCH, b"path\0token\0", now);
        world.round(now);
        world.daemon.read(&mut world.page, 1000);
        let sent: Vec<_> = std::mem::take(&mut world.daemon.requests);
        assert_eq!(
            sent.iter()
                .map(|(header, _)| Some(header.id))
                .collect::<Vec<_>>(),
            [end]
        );
        world.round(now + STALLED_LIMIT_MS - 1);
        assert_eq!(world.got(), []);
        world.round(now + STALLED_LIMIT_MS);
        assert_eq!(world.got()[0], ended(End::TimedOut { stalled: true }));
    }
    // It is said once.
    assert_eq!(world.failures(), []);
    // The rest comes, and all is well again.
    world
        .client
        .ask(kind::READ, b"path\0", 300_000)
        .expect("room");
    world.daemon.say_raw(b"lue");
    world.daemon.write(&mut world.page, 1000);
    world.round(300_000);
    assert_eq!(world.got(), [Got::Unknown(header.id)]);
    assert!(!world.client.session.is_stalled());
    world.serve(300_000 + LIMIT - 1);
    assert_eq!((world.got(), world.failures()), (vec![reply()], vec![]));
}

#[test]
fn x7_a_cut_message_is_wrong_in_the_end_or_gone_with_a_restore() {
    let stalled = || {
        let mut world = World::new(false);
        world.say_part(Header::default(), b"", 7);
        world.round(0);
        world.round(LIMIT);
        assert_eq!(world.failures(), [(Failure::Stalled(LIMIT), Way::Wait)]);
        world
    };
    let mut world = stalled();
    world.daemon.say_raw(&[0xff; 20]);
    world.daemon.write(&mut world.page, 1000);
    world.round(LIMIT + 10);
    assert!(matches!(
        world.failures()[..],
        [(Failure::TooLong(_), Way::Break)]
    ));

    let mut world = stalled();
    world
        .client
        .ask(kind::READ, b"path\0", 50_000)
        .expect("room");
    world.page = Page::starting_at(17, 18);
    world.daemon = Daemon::default();
    world.client.replace(&mut world.page, 50_000);
    world.client.session.go_on(50_000);
    assert!(!world.client.session.is_stalled());
    world.serve(50_000 + LIMIT - 1);
    assert_eq!((world.got(), world.failures()), (vec![reply()], vec![]));
}

#[test]
fn x7_a_cut_message_is_followed_by_a_new_beginning_where_that_is_offered() {
    let mut world = World::new(true);
    let header = world.ask(0);
    world.say_part(header, b"value", 18);
    world.round(10);
    world.round(10 + LIMIT);
    assert_eq!(
        world.failures(),
        [(Failure::Stalled(LIMIT), Way::Reconnect)]
    );
    assert_eq!(world.got(), [ended(TIMED_OUT)]);
    world.reconnect(20 + LIMIT);
    world.ask(30 + LIMIT);
    // Asked once more, and this time answered.
    world.serve(30 + LIMIT);
    assert_eq!(world.failures(), []);
}

#[test]
fn x7_a_xenstored_that_is_stopped_in_a_message_makes_the_new_beginning_later() {
    let mut world = World::new(true);
    world.say_part(Header::default(), b"", 7);
    world.round(0);
    world.round(LIMIT);
    assert_eq!(
        world.failures(),
        [(Failure::Stalled(LIMIT), Way::Reconnect)]
    );
    assert_eq!(
        world.client.session.tick(true, true),
        Some(TICK_RECONNECTING)
    );
    world.round(2 * LIMIT);
    assert_eq!(world.failures(), [(Failure::NoReconnect, Way::Wait)]);
    assert_eq!(world.client.session.tick(true, true), Some(TICK_MISSING));
    for round in 0..300 {
        let now = 10_000 + round * 2000;
        world.client.ask(kind::READ, b"path\0", now).expect("room");
        world.round(now);
        world.round(now + STALLED_LIMIT_MS);
        assert_eq!(world.got(), [ended(End::TimedOut { stalled: true })]);
        assert!(world.client.session.is_quiet());
    }
    assert_eq!(world.failures(), []);
    world.reconnect(700_000);
    world
        .client
        .ask(kind::READ, b"path\0", 700_000)
        .expect("room");
    world.serve(700_000 + LIMIT - 1);
    assert_eq!(world.got(), [reply()]);
}

#[test]
fn x7_a_suspend_does_not_wait_for_what_xenstored_does_not_take() {
    let mut world = World::new(false);
    world.say_part(Header::default(), b"", 7);
    for _ in 0..2 {
        world.client.ask(kind::READ, &[b'x'; 700], 0).expect("room");
    }
    world.round(0);
    assert!(!world.client.session.is_quiet());
    world.round(LIMIT);
    assert_eq!(world.got().len(), 2);
    // One of the two is in the ring in part.
    let session = &world.client.session;
    assert_eq!(session.requests.in_flight(), 1);
    assert!(session.is_quiet());
    // Without a restore it follows whole.
    for now in LIMIT..LIMIT + 3 {
        world.daemon.read(&mut world.page, 10_000);
        world.round(now);
    }
    assert_eq!(world.daemon.requests.len(), 2);
}

#[test]
fn a_xenstored_that_takes_nothing_for_long_gets_the_ends_in_the_end() {
    let mut world = World::new(false);
    // More than the ring holds.
    for _ in 0..2 {
        world.client.ask(kind::READ, &[b'x'; 700], 0).expect("room");
    }
    let requests = &mut world.client.session.requests;
    let commit = Request(b"T\0".to_vec());
    let end = requests.add(kind::TRANSACTION_END, 3, commit, LIMIT).ok();
    let unwatch = world.client.ask(kind::UNWATCH, b"path\0token\0", 0);
    for now in [0, LIMIT, 2 * LIMIT, 100 * LIMIT] {
        world.round(now);
    }
    assert_eq!(world.got().len(), 4);
    // Nobody waits, so the domain may be saved once what is begun is whole; it is looked at until all is sent.
    assert_eq!(world.client.session.tick(true, false), Some(TICK_MISSING));
    for now in 100 * LIMIT..100 * LIMIT + 4 {
        world.daemon.read(&mut world.page, 10_000);
        world.round(now);
    }
    let sent: Vec<_> = world.daemon.requests.iter().skip(2).collect();
    let ids: Vec<_> = sent.iter().map(|(header, _)| Some(header.id)).collect();
    assert_eq!(ids, [end, unwatch]);
    assert_eq!(sent[0].1, b"F\0");
    assert!(world.client.session.is_drained());
}

#[test]
fn a_mute_xenstored_is_not_out_of_order() {
    for offers in [false, true] {
        let mut world = World::new(offers);
        let headers: Vec<Header> = (0..100)
            .map(|round| {
                let header = world.ask(round * 2 * LIMIT);
                world.round(round * 2 * LIMIT + LIMIT);
                assert_eq!(world.got(), [ended(TIMED_OUT)]);
                header
            })
            .collect();
        for header in headers {
            world.daemon.say(header, b"late");
        }
        let now = 201 * LIMIT;
        world.client.ask(kind::READ, b"path\0", now).expect("room");
        for _ in 0..10 {
            world.serve(now);
        }
        assert_eq!(world.got().last(), Some(&reply()));
        assert_eq!(world.failures(), []);
        assert!(!world.page.reconnecting && world.client.session.is_quiet());
    }
}

#[test]
fn a_message_that_comes_in_drops_is_not_stalled() {
    let mut world = World::new(false);
    let bytes = [
        Header {
            length: 5,
            ..Header::default()
        }
        .encode()
        .as_slice(),
        b"value",
    ]
    .concat();
    for (number, byte) in (0..).zip(&bytes) {
        world.daemon.say_raw(&[*byte]);
        world.daemon.write(&mut world.page, 1);
        world.round(number * (LIMIT - 1));
        world.round((number + 1) * (LIMIT - 1) - 1);
    }
    assert_eq!(world.failures(), []);
    assert!(world.client.session.is_between_messages());
}

#[test]
fn the_time_of_a_suspend_does_not_count() {
    let mut world = World::new(false);
    let header = world.ask(0);
    world.say_part(header, b"value", 18);
    world.round(10);
    world.client.session.go_on(1_000_000);
    world.round(1_000_000 + LIMIT - 1);
    assert_eq!((world.failures(), world.got()), (vec![], vec![]));
}
