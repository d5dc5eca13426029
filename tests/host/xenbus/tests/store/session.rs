// SPDX-License-Identifier: GPL-2.0

//! What happens when the stream is out of order: new beginnings and their end; when the ring is looked at without an event,
//! and when the domain may be saved.

use crate::{
    daemon::{
        Client,
        Daemon,
        Got,
        Page,
        LIMIT, //
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
    phase::{
        Phase,
        Way, //
    },
    ring::SIZE,
    session::{
        RECONNECTS,
        RECONNECT_WINDOW_MS,
        REWATCH_MS,
        TICK_IDLE,
        TICK_MISSING,
        TICK_WITHOUT_CHANNEL, //
    },
    wire::{
        kind,
        Header,
        Token,
        PAYLOAD_MAX, //
    }, //
};

const TOKEN: Token = Token(5);

pub struct World {
    pub page: Page,
    pub client: Client,
    pub daemon: Daemon,
}

impl World {
    pub fn new(offers: bool) -> Self {
        let mut page = Page::starting_at(u32::MAX - 3, 1000);
        page.offers = offers;
        let client = Client::new(table(8, 0), &mut page, &[(TOKEN, "path")]);
        Self {
            page,
            client,
            daemon: Daemon::default(),
        }
    }

    pub fn round(&mut self, now: u64) {
        self.client.round(&mut self.page, now);
    }

    /// Asks, and has the daemon see it.
    pub fn ask(&mut self, now: u64) -> Header {
        self.client.ask(kind::READ, b"path\0", now).expect("room");
        self.round(now);
        self.daemon.read(&mut self.page, 1000);
        self.daemon.requests.pop().expect("a request").0
    }

    /// Has the daemon say so many bytes of a message.
    pub fn say_part(&mut self, header: Header, payload: &[u8], bytes: usize) {
        let length = payload.len() as u32;
        let message = [Header { length, ..header }.encode().as_slice(), payload].concat();
        self.daemon.say_raw(&message[..bytes]);
        self.daemon.write(&mut self.page, 1000);
    }

    /// The daemon answers all that it is asked.
    pub fn serve(&mut self, now: u64) {
        for _ in 0..3 {
            self.round(now);
            self.daemon.read(&mut self.page, 1000);
            for (header, _) in std::mem::take(&mut self.daemon.requests) {
                self.daemon.say(header, b"value");
            }
            self.daemon.write(&mut self.page, 1000);
        }
        self.round(now);
    }

    pub fn got(&mut self) -> Vec<Got> {
        self.client.handle();
        std::mem::take(&mut self.client.hands.got)
    }

    pub fn failures(&mut self) -> Vec<(Failure, Way)> {
        std::mem::take(&mut self.client.hands.failures)
    }

    /// Both begin anew.
    pub fn reconnect(&mut self, now: u64) {
        assert!(self.page.reconnecting, "nobody has asked for it");
        self.daemon.reconnect(&mut self.page);
        self.round(now);
        assert_eq!(self.client.session.phase(), Phase::Open);
        assert!(std::mem::take(&mut self.client.session.rewatch));
    }

    fn is_broken(&self) -> bool {
        self.client.session.phase() == Phase::Broken
    }
}

pub fn reply() -> Got {
    Got::Reply(Request(b"path\0".to_vec()), kind::READ, b"value".to_vec())
}

pub fn ended(end: End) -> Got {
    Got::Ended(Request(b"path\0".to_vec()), end)
}

/// Ways to get out of order.
fn disorder() -> [fn(&mut World); 4] {
    [
        // X1
        |world| {
            let header = Header {
                length: PAYLOAD_MAX as u32 + 1,
                ..Header::default()
            };
            world.daemon.say_raw(&header.encode());
            world.daemon.write(&mut world.page, 1000);
        },
        // X6
        |world| {
            world.page.reply_producer = world.page.reply_consumer.wrapping_add(SIZE + 1);
        },
        |world| world.page.reply_consumer ^= 1,
        // X10
        |world| world.page.error = Some(2),
    ]
}

#[test]
fn x1_x6_x10_disorder_is_followed_by_a_new_beginning() {
    for disturb in disorder() {
        let mut world = World::new(true);
        world.ask(0);
        disturb(&mut world);
        world.round(10);
        let failures = world.failures();
        assert!(
            matches!(failures[..], [(_, Way::Reconnect)]),
            "{failures:?}"
        );
        // What is asked meanwhile waits.
        world.client.ask(kind::READ, b"path\0", 20).expect("room");
        world.round(20);
        assert_eq!(world.got(), []);
        world.reconnect(30);
        world.serve(40);
        assert_eq!(world.got(), [reply(), reply()]);
        assert_eq!((world.failures(), world.client.hands.began), (vec![], 1));
    }
}

#[test]
fn x1_x6_x10_disorder_is_the_end_where_no_new_beginning_is_offered() {
    for disturb in disorder() {
        let mut world = World::new(false);
        world.ask(0);
        world.client.ask(kind::READ, b"path\0", 0).expect("room");
        disturb(&mut world);
        world.round(10);
        let failures = world.failures();
        assert!(matches!(failures[..], [(_, Way::Break)]), "{failures:?}");
        assert_eq!(world.got(), [ended(End::Broken), ended(End::Broken)]);
        assert!(world.is_broken() && !world.page.reconnecting);
        let session = &world.client.session;
        // The domain may be saved, which is the way out of this; until then there is nothing to look at.
        assert!(session.is_quiet());
        assert_eq!(session.tick(true, true), None);
    }
}

#[test]
fn x10_the_error_that_is_reported_is_told() {
    let mut world = World::new(false);
    world.page.error = Some(3);
    world.round(0);
    assert_eq!(world.failures(), [(Failure::Server(3), Way::Break)]);
}

#[test]
fn x10_a_new_beginning_that_is_not_made_in_time_breaks_the_connection() {
    for disturb in disorder() {
        let mut world = World::new(true);
        disturb(&mut world);
        world.round(10);
        world.failures();
        // Made a moment ago, so that it does not end by itself before.
        world
            .client
            .ask(kind::READ, b"path\0", LIMIT)
            .expect("room");
        world.round(10 + LIMIT - 1);
        assert_eq!((world.failures(), world.got()), (vec![], vec![]));
        world.round(10 + LIMIT);
        assert_eq!(world.failures(), [(Failure::NoReconnect, Way::Break)]);
        assert_eq!(world.got(), [ended(End::Broken)]);
        assert!(world.is_broken());
    }
}

#[test]
fn x10_five_new_beginnings_a_minute_and_no_more() {
    let fail = |world: &mut World, now| {
        world.page.error = Some(2);
        world.round(now);
        let (_, way) = world.failures()[0];
        if way == Way::Reconnect {
            world.reconnect(now);
        }
        way
    };
    // The sixth within a minute of the first, wherever that minute begins.
    for begin in [0, 1_000, 1_000_000] {
        let mut world = World::new(true);
        for number in 0..RECONNECTS as u64 {
            let now = begin + number * 10_000;
            assert_eq!(fail(&mut world, now), Way::Reconnect, "{number}");
        }
        let last = begin + RECONNECT_WINDOW_MS - 1;
        assert_eq!(fail(&mut world, last), Way::Break);
        assert!(world.is_broken());
    }
    // Where there are fewer a minute, they go on for ever.
    let mut world = World::new(true);
    for number in 0..100 {
        let now = number * RECONNECT_WINDOW_MS / RECONNECTS as u64;
        assert_eq!(fail(&mut world, now), Way::Reconnect, "{number}");
    }
    assert_eq!(world.client.hands.began, 100);
}

#[test]
fn somebody_else_has_asked_for_a_new_beginning() {
    let mut page = Page::starting_at(0, 0);
    (page.offers, page.reconnecting) = (true, true);
    let client = Client::new(table(4, 0), &mut page, &[]);
    let daemon = Daemon::default();
    let mut world = World {
        page,
        client,
        daemon,
    };
    world.client.ask(kind::READ, b"path\0", 0).expect("room");
    world.round(10);
    assert_eq!(world.page.request_producer, 0);
    world.reconnect(20);
    world.serve(30);
    assert_eq!(world.got(), [reply()]);
}

#[test]
fn e4_the_ring_is_looked_at_without_an_event() {
    let mut world = World::new(false);
    assert_eq!(
        world.client.session.tick(false, false),
        Some(TICK_WITHOUT_CHANNEL)
    );
    assert_eq!(world.client.session.tick(true, false), None);
    // Nothing but the event of a watch can come, and nobody says that it has.
    assert_eq!(world.client.session.tick(true, true), Some(TICK_IDLE));
    assert!((1000..=10_000).contains(&TICK_IDLE));
    let event = Header {
        kind: kind::WATCH_EVENT,
        ..Header::default()
    };
    world.daemon.say(event, b"path\00000000000000005\0");
    world.daemon.write(&mut world.page, 1000);
    world.round(TICK_IDLE.into());
    assert_eq!(world.got(), [Got::Event(b"path".to_vec(), TOKEN)]);
    world.ask(6000);
    assert_eq!(world.client.session.tick(true, true), Some(TICK_MISSING));
}

#[test]
fn watches_that_were_refused_are_registered_again_later() {
    let mut world = World::new(true);
    let rewatch = |world: &mut World, now| {
        world.round(now);
        std::mem::take(&mut world.client.session.rewatch)
    };
    world.client.session.rewatch_later(500);
    // Looked at without an event, once all is quiet.
    assert_eq!(world.client.session.tick(true, false), Some(TICK_IDLE));
    assert!(!rewatch(&mut world, 500 + REWATCH_MS - 1));
    // Not while nothing new is sent.
    world.client.session.holding = true;
    assert!(!rewatch(&mut world, 500 + REWATCH_MS));
    world.client.session.holding = false;
    assert!(rewatch(&mut world, 500 + REWATCH_MS));
    assert!(!rewatch(&mut world, 10 * REWATCH_MS));
    assert_eq!(world.client.session.tick(true, false), None);
    // A new beginning has them registered at once.
    world.client.session.rewatch_later(10 * REWATCH_MS);
    world.page.error = Some(2);
    world.round(10 * REWATCH_MS);
    world.reconnect(10 * REWATCH_MS);
    assert!(!rewatch(&mut world, 20 * REWATCH_MS));
}

#[test]
fn nothing_new_is_sent_before_a_suspend() {
    let mut world = World::new(false);
    world.client.session.holding = true;
    world.client.ask(kind::READ, b"path\0", 0).expect("room");
    world.round(0);
    world.daemon.read(&mut world.page, 1000);
    assert!(world.daemon.requests.is_empty() && world.client.session.is_quiet());
    world.client.session.transactions = 1;
    assert!(!world.client.session.is_quiet());
    world.client.session.transactions = 0;
    world.client.session.holding = false;
    world.serve(10);
    assert_eq!(world.got(), [reply()]);
}
