// SPDX-License-Identifier: GPL-2.0

//! The events of one watch: in order, and bounded.

use proptest::prelude::*;
use pure_xenbus::store::backlog::{
    Backlog,
    Event, //
};

fn backlog(places: usize) -> Backlog<u32, Vec<Option<u32>>> {
    Backlog::new(vec![None; places])
}

#[test]
fn events_come_in_order() {
    let mut backlog = backlog(3);
    for round in 0..5 {
        assert!(backlog.push(round) && backlog.push(round + 100));
        assert_eq!(backlog.pop(), Some(Event::Changed(round)));
        assert_eq!(backlog.pop(), Some(Event::Changed(round + 100)));
        assert_eq!(backlog.pop(), None);
    }
}

#[test]
fn too_many_become_one() {
    let mut backlog = backlog(2);
    assert_eq!(
        [1, 2, 3, 4].map(|event| backlog.push(event)),
        [true, true, false, false]
    );
    assert_eq!(backlog.pop(), Some(Event::Changed(1)));
    // There is room again, but what comes now came after what was merged.
    assert!(!backlog.push(5));
    assert_eq!(backlog.pop(), Some(Event::Changed(2)));
    assert_eq!(backlog.pop(), Some(Event::Overflow));
    assert_eq!(backlog.pop(), None);
    assert!(backlog.push(6));
    assert_eq!(backlog.pop(), Some(Event::Changed(6)));
}

#[test]
fn without_memory_for_an_event_there_is_still_the_one_for_many() {
    let mut backlog = backlog(2);
    backlog.push(1);
    backlog.overflow();
    assert_eq!(backlog.pop(), Some(Event::Changed(1)));
    assert_eq!(backlog.pop(), Some(Event::Overflow));
    assert_eq!(backlog.pop(), None);
}

#[test]
fn without_places_everything_is_one_event() {
    let mut backlog = backlog(0);
    assert!(!backlog.push(1));
    assert_eq!(backlog.pop(), Some(Event::Overflow));
    assert_eq!(backlog.pop(), None);
}

#[test]
fn cleared_it_is_empty() {
    let mut backlog = backlog(2);
    for event in 0..5 {
        backlog.push(event);
    }
    backlog.clear();
    assert_eq!(backlog.pop(), None);
    assert!(backlog.push(7));
}

proptest! {
    /// What the handler sees is what happened, in order, with an "all may have changed" wherever something is missing.
    #[test]
    fn nothing_is_lost_unsaid(places in 0usize..5, steps in prop::collection::vec(any::<bool>(), 0..100)) {
        let mut backlog = backlog(places);
        let mut happened = 0;
        // Up to here the handler knows.
        let mut seen = 0;
        let mut handler = |event, happened| match event {
            Event::Changed(event) => {
                assert_eq!(event, seen, "out of order");
                seen += 1;
                seen
            }
            Event::Overflow => {
                seen = happened;
                seen
            }
        };
        let mut known = 0;
        for push in steps {
            if push {
                backlog.push(happened);
                happened += 1;
            } else if let Some(event) = backlog.pop() {
                known = handler(event, happened);
            }
        }
        while let Some(event) = backlog.pop() {
            known = handler(event, happened);
        }
        prop_assert_eq!(known, happened);
    }
}
