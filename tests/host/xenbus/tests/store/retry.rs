// SPDX-License-Identifier: GPL-2.0

//! Trying again, with an end.

use proptest::prelude::*;
use pure_xenbus::store::retry::{
    bounded,
    pause_ms, //
};

#[test]
fn x8_again_for_ever_has_an_end() {
    let (mut attempts, mut pauses) = (0, Vec::new());
    let result: Result<(), _> = bounded(
        100,
        "again",
        |failed| pauses.push(failed),
        || {
            attempts += 1;
            Err("again")
        },
    );
    assert_eq!((result, attempts), (Err("again"), 100));
    assert_eq!(pauses, (1..100).collect::<Vec<u32>>());
}

#[test]
fn other_errors_and_success_end_it_at_once() {
    let mut results = [Err("again"), Err("again"), Err("other"), Ok(1)].into_iter();
    let mut next = || results.next().expect("not asked so often");
    assert_eq!(bounded(100, "again", |_| {}, &mut next), Err("other"));
    assert_eq!(bounded(100, "again", |_| {}, &mut next), Ok(1));
}

proptest! {
    #[test]
    fn pauses_are_short(failed: u32, random: u32) {
        let pause = pause_ms(failed, random);
        prop_assert!(pause <= 50);
        prop_assert_eq!(pause == 0, failed < 3);
    }
}
