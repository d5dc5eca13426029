// SPDX-License-Identifier: GPL-2.0

//! How often a backend may have its frontend connect anew.

use proptest::prelude::*;
use pure_xenbus::bus::admission::{
    Admission,
    BURST,
    PAUSE_MS, //
};

#[test]
fn a_few_are_welcome_at_once_and_no_more() {
    let mut admission = Admission::new();
    for _ in 0..BURST {
        assert!(admission.admit(5));
    }
    assert!(!admission.admit(5));
    assert!(!admission.admit(5 + PAUSE_MS - 1));
    assert!(admission.admit(5 + PAUSE_MS));
    assert!(!admission.admit(5 + PAUSE_MS));
}

#[test]
fn who_pauses_for_long_has_as_many_again_but_not_more() {
    let mut admission = Admission::new();
    while admission.admit(0) {}
    let late = u64::MAX - 1;
    assert_eq!(
        (0..100).filter(|_| admission.admit(late)).count() as u32,
        BURST
    );
}

#[test]
fn a_refusal_does_not_count() {
    let mut admission = Admission::new();
    while admission.admit(0) {}
    for now in 1..PAUSE_MS {
        assert!(!admission.admit(now));
    }
    assert!(admission.admit(PAUSE_MS));
}

proptest! {
    /// Over any time there are no more than the burst and one for each pause.
    #[test]
    fn there_is_a_bound(steps in proptest::collection::vec(0..2 * PAUSE_MS, 1..200)) {
        let (mut admission, mut now, mut admitted) = (Admission::new(), 0, 0);
        for step in steps {
            now += step;
            admitted += u64::from(admission.admit(now));
        }
        prop_assert!(admitted <= u64::from(BURST) + now / PAUSE_MS);
    }
}
