// SPDX-License-Identifier: GPL-2.0

//! Client and xenstored in small steps of any size and order: each request gets its own reply, each event comes once and
//! in order, whatever is cut where.

use crate::{
    daemon::{
        Client,
        Daemon,
        Got,
        Page, //
    },
    matching::table,
};
use proptest::prelude::*;
use pure_xenbus::store::wire::{
    kind,
    Header,
    Token, //
};

#[derive(Clone, Debug)]
enum Step {
    /// A new request with so long a payload.
    Ask(usize),
    ClientSends,
    ClientReceives(usize),
    DaemonReads(usize),
    /// The daemon answers one of its requests: not always the oldest.
    DaemonAnswers(prop::sample::Index, usize),
    /// An event of one of the watches.
    DaemonFires(bool),
    DaemonWrites(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..3000).prop_map(Step::Ask),
        4 => Just(Step::ClientSends),
        4 => (1usize..700).prop_map(Step::ClientReceives),
        4 => (1usize..700).prop_map(Step::DaemonReads),
        3 => (any::<prop::sample::Index>(), 0usize..4096).prop_map(|(which, length)| Step::DaemonAnswers(which, length)),
        2 => any::<bool>().prop_map(Step::DaemonFires),
        4 => (1usize..700).prop_map(Step::DaemonWrites),
    ]
}

struct World {
    page: Page,
    client: Client,
    daemon: Daemon,
    asked: u32,
    answered: Vec<u32>,
    fired: [u32; 2],
    seen: [u32; 2],
}

const TOKENS: [Token; 2] = [Token(77), Token(78)];

impl World {
    fn new(requests: u32, replies: u32) -> Self {
        let mut page = Page::starting_at(requests, replies);
        let watches = TOKENS.map(|token| (token, "path"));
        let client = Client::new(table(5, requests), &mut page, &watches);
        Self {
            page,
            client,
            daemon: Daemon::default(),
            asked: 0,
            answered: vec![],
            fired: [0; 2],
            seen: [0; 2],
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Ask(length) => {
                // The number of the request at the front of its payload, by which the daemon's answer is recognised.
                let mut payload = self.asked.to_ne_bytes().to_vec();
                payload.resize(4 + length, 1);
                if self.client.ask(kind::READ, &payload, 0).is_some() {
                    self.asked += 1;
                }
            }
            Step::ClientSends => self.client.send(&mut self.page).expect("in order"),
            Step::ClientReceives(most) => self.receive(*most),
            Step::DaemonReads(most) => self.daemon.read(&mut self.page, *most),
            Step::DaemonAnswers(which, length) => {
                if !self.daemon.requests.is_empty() {
                    self.answer(which.index(self.daemon.requests.len()), *length);
                }
            }
            Step::DaemonFires(second) => {
                let which = usize::from(*second);
                let payload = [
                    format!("path/{}\0", self.fired[which]).as_bytes(),
                    TOKENS[which].text().as_bytes_with_nul(),
                ]
                .concat();
                self.daemon.say(
                    Header {
                        kind: kind::WATCH_EVENT,
                        ..Header::default()
                    },
                    &payload,
                );
                self.fired[which] += 1;
            }
            Step::DaemonWrites(most) => self.daemon.write(&mut self.page, *most),
        }
    }

    fn answer(&mut self, which: usize, length: usize) {
        let (header, mut payload) = self.daemon.requests.remove(which);
        payload.truncate(4);
        payload.resize(4 + length.min(4092), 2);
        self.daemon.say(header, &payload);
    }

    fn receive(&mut self, most: usize) {
        for got in self.client.receive(&mut self.page, most).expect("in order") {
            match got {
                Got::Reply(request, kind, payload) => {
                    assert_eq!((kind, &payload[..4]), (kind::READ, &request.0[..4]));
                    let number = u32::from_ne_bytes(payload[..4].try_into().expect("four bytes"));
                    assert!(!self.answered.contains(&number), "twice");
                    self.answered.push(number);
                }
                Got::Event(path, token) => {
                    let which = usize::from(token == TOKENS[1]);
                    assert_eq!(path, format!("path/{}", self.seen[which]).as_bytes());
                    self.seen[which] += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Both go on until nothing is left.
    fn settle(&mut self) {
        for _ in 0..1000 {
            self.client.send(&mut self.page).expect("in order");
            self.daemon.read(&mut self.page, 1000);
            while !self.daemon.requests.is_empty() {
                self.answer(0, 10);
            }
            self.daemon.write(&mut self.page, 1000);
            self.receive(1000);
            if self.client.session.is_drained() && self.daemon.is_silent() {
                return;
            }
        }
        panic!("it does not come to an end");
    }
}

proptest! {
    #[test]
    fn everything_arrives_once(
        requests: u32,
        replies: u32,
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut world = World::new(requests, replies);
        for step in &steps {
            world.step(step);
        }
        world.settle();
        world.answered.sort_unstable();
        prop_assert_eq!(world.answered, (0..world.asked).collect::<Vec<u32>>());
        prop_assert_eq!(world.seen, world.fired);
    }
}
