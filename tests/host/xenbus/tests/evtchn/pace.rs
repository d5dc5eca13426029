// SPDX-License-Identifier: GPL-2.0

//! Back-off and the budget of an upcall.

use proptest::prelude::*;
use pure_xenbus::evtchn::pace::{
    Backoff,
    Budget, //
};

#[test]
fn spurious_events_cost_more_each_time_up_to_a_second() {
    let mut backoff = Backoff::new();
    let delays: Vec<u32> = (0..12).map(|_| backoff.judge(true, 250)).collect();
    assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 64, 128, 250, 250, 250]);
}

#[test]
fn a_useful_event_forgives_all() {
    let mut backoff = Backoff::new();
    for _ in 0..1000 {
        backoff.judge(true, 1000);
    }
    assert_eq!(backoff.judge(true, 1000), 1000);
    assert_eq!(backoff.judge(false, 1000), 0);
    assert_eq!(backoff.judge(true, 1000), 0);
    assert_eq!(backoff.judge(true, 1000), 1);
}

#[test]
fn a_long_upcall_is_found_out_and_a_short_one_never_asks_for_the_time() {
    let mut budget = Budget::new(1000);
    for _ in 0..255 {
        assert!(!budget.exceeded(|| panic!("not yet")));
    }
    // The time runs from here.
    assert!(!budget.exceeded(|| 5000));
    let mut asked = 0;
    let events = (0..10_000)
        .take_while(|_| {
            !budget.exceeded(|| {
                asked += 1;
                5000 + 400 * asked
            })
        })
        .count();
    assert_eq!((events, asked), (767, 3));
    assert!(budget.exceeded(|| panic!("it does not change any more")));
}

proptest! {
    #[test]
    fn no_delay_exceeds_a_second(
        events in proptest::collection::vec(any::<bool>(), 0..600),
        second in 1u32..2000,
    ) {
        let mut backoff = Backoff::new();
        for spurious in events {
            let delay = backoff.judge(spurious, second);
            prop_assert!(delay <= second && (spurious || delay == 0));
        }
    }
}
