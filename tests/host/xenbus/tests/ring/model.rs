// SPDX-License-Identifier: GPL-2.0

//! The driver's front end and a C back end that only move when an event wakes them, in every order of small steps:
//! nothing is lost, nothing answered twice, and neither end sleeps while there is work.

use crate::{
    differential::start,
    front::{
        Front,
        SLOTS, //
    }, //
};
use proptest::prelude::*;
use reference::Ring;
use std::collections::VecDeque;

/// Who makes the next small step.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// So many new requests, published.
    Requests(u32),
    /// The front end handles responses, if it is awake.
    Front,
    /// The back end takes a request or goes to sleep, if it is awake.
    Back,
    /// A device behind the back end finishes so many requests.
    Device(u32),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        2 => (1u32..20).prop_map(Turn::Requests),
        4 => Just(Turn::Front),
        4 => Just(Turn::Back),
        2 => (1u32..6).prop_map(Turn::Device),
    ]
}

struct World {
    front: Front,
    ring: Ring,
    front_awake: bool,
    back_awake: bool,
    /// Requests without response, oldest first.
    outstanding: VecDeque<u32>,
    /// The index of the next request.
    next: u32,
}

impl World {
    fn new(at: u32) -> Self {
        Self {
            front: Front::starting_at(at),
            ring: Ring::starting_at(at),
            front_awake: false,
            back_awake: false,
            outstanding: VecDeque::new(),
            next: at,
        }
    }

    fn requests(&mut self, count: u32) -> Result<(), TestCaseError> {
        for _ in 0..count {
            let room = self.outstanding.len() < SLOTS as usize;
            let claimed = self.front.indices.claim();
            prop_assert_eq!(claimed, room.then_some(self.next));
            if let Some(index) = claimed {
                self.outstanding.push_back(index);
                self.next = self.next.wrapping_add(1);
            }
        }
        self.back_awake |= self.front.publish(self.ring.shared());
        Ok(())
    }

    fn front(&mut self) -> Result<(), TestCaseError> {
        if !self.front_awake {
            return Ok(());
        }
        match self.front.next_response(self.ring.shared()) {
            Ok(Some(index)) => prop_assert_eq!(Some(index), self.outstanding.pop_front()),
            Ok(None) => {
                let more = self.front.rearm_after(self.ring.shared(), 1);
                prop_assert!(more.is_ok());
                self.front_awake = more == Ok(true);
            }
            Err(corrupt) => prop_assert!(false, "an honest back end is called {:?}", corrupt),
        }
        Ok(())
    }

    fn back(&mut self) {
        if !self.back_awake {
            return;
        }
        if self.ring.back_unconsumed() > 0 {
            self.ring.back_consume();
        } else {
            self.back_awake = self.ring.back_final_check();
        }
    }

    fn device(&mut self, count: u32) {
        let count = count.min(self.ring.back_held());
        if count > 0 {
            self.front_awake |= self.ring.back_respond(count);
        }
    }

    fn take(&mut self, turn: Turn) -> Result<(), TestCaseError> {
        match turn {
            Turn::Requests(count) => self.requests(count)?,
            Turn::Front => self.front()?,
            Turn::Back => self.back(),
            Turn::Device(count) => self.device(count),
        }
        prop_assert_eq!(
            self.front.indices.unanswered() as usize,
            self.outstanding.len()
        );
        Ok(())
    }
}

proptest! {
    #[test]
    fn all_requests_are_answered_once(
        at in start(),
        turns in prop::collection::vec(turn(), 1..300),
    ) {
        let mut world = World::new(at);
        for turn in turns {
            world.take(turn)?;
        }
        // Nothing new any more: both ends go on only as long as events keep them awake.
        while world.front_awake || world.back_awake || world.ring.back_held() > 0 {
            world.take(Turn::Back)?;
            world.take(Turn::Device(3))?;
            world.take(Turn::Front)?;
        }
        prop_assert!(world.outstanding.is_empty(), "asleep with {:?}", world.outstanding);
    }
}
