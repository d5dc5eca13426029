// SPDX-License-Identifier: GPL-2.0

//! When an event is sent, and when one is asked for.

use crate::front::{
    Front,
    SLOTS, //
};
use proptest::prelude::*;
use pure_xenbus::indices::Indices;
use reference::Ring;

/// Whether the driver and the C macro send an event for `count` requests from `at` on.
fn both(at: u32, count: u32, event: u32) -> (bool, bool) {
    let mut front = Front::starting_at(at);
    let mut ring = Ring::starting_at(at);
    ring.shared().request_event = event;
    let mut shared = *ring.shared();
    for _ in 0..count {
        front.indices.claim().expect("there is room");
        ring.front_claim();
    }
    let ours = front.publish(&mut shared);
    let theirs = ring.front_push();
    assert_eq!(shared, *ring.shared());
    (ours, theirs)
}

#[test]
fn event_decision_is_that_of_the_macro_for_all_near_events() {
    for at in [0, 1, 1000, u32::MAX - SLOTS, u32::MAX - 1, u32::MAX] {
        for count in 0..=SLOTS {
            for distance in 0..=3 * SLOTS {
                let event = at.wrapping_sub(SLOTS).wrapping_add(distance);
                let (ours, theirs) = both(at, count, event);
                assert_eq!(ours, theirs, "{count} requests from {at}, event at {event}");
                // What the macro means: one of the new requests is the one that was asked for.
                let asked = (SLOTS + 1..=SLOTS + count).contains(&distance);
                assert_eq!(ours, asked, "{count} requests from {at}, event at {event}");
            }
        }
    }
}

proptest! {
    #[test]
    fn event_decision_is_that_of_the_macro(at: u32, count in 0..=SLOTS, event: u32) {
        let (ours, theirs) = both(at, count, event);
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn an_event_is_asked_for_at_the_next_response(at: u32, taken in 0..=SLOTS, count: u32) {
        let mut indices = Indices::starting_at(SLOTS, at);
        for _ in 0..taken {
            indices.claim();
        }
        let published = indices.publish();
        prop_assert_eq!(indices.learn(published), Ok(()));
        while indices.next_known().is_some() {}
        let next = at.wrapping_add(taken);
        prop_assert_eq!(indices.event_index(count), next.wrapping_add(count.max(1)));
        prop_assert_eq!(indices.event_index(0), indices.event_index(1));
    }

    /// With an event asked for after `wanted` more responses, the back end sends it with the response that is the
    /// last of these, and with no other.
    #[test]
    fn a_delayed_event_comes_with_the_response_it_was_asked_for(
        at: u32,
        wanted in 1..=SLOTS,
        batches in prop::collection::vec(1u32..6, 1..SLOTS as usize),
    ) {
        let mut front = Front::starting_at(at);
        let mut ring = Ring::starting_at(at);
        for _ in 0..SLOTS {
            front.indices.claim().expect("there is room");
        }
        front.publish(ring.shared());
        for _ in 0..SLOTS {
            ring.back_consume();
        }
        prop_assert_eq!(front.rearm_after(ring.shared(), wanted), Ok(false));
        let mut answered = 0;
        for batch in batches {
            let count = batch.min(ring.back_held());
            if count == 0 {
                break;
            }
            let before = answered;
            answered += count;
            let event = ring.back_respond(count);
            prop_assert_eq!(event, before < wanted && wanted <= answered);
            let mut looked = Front { indices: front.indices };
            prop_assert_eq!(looked.rearm_after(ring.shared(), wanted), Ok(answered >= wanted));
        }
    }
}
