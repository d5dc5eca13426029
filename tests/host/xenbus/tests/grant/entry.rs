// SPDX-License-Identifier: GPL-2.0

//! Entries of both versions, step by step.

use proptest::prelude::*;
use pure_xenbus::grant::{
    entry::{
        begin,
        end_by,
        end_v1,
        end_v2,
        is_taken,
        permit, //
    },
    words::{
        Ordering::Relaxed,
        SharedWord16,
        SharedWord32, //
    },
};

const READING: u32 = 8;
const WRITING: u32 = 16;

#[test]
fn an_entry_names_the_domain_and_what_it_may_do() {
    assert_eq!(permit(0, false), 1);
    assert_eq!(permit(0x7ff0, true), 0x7ff0_0005);
    let header = SharedWord32::new(0);
    begin(&header, 3, true);
    assert_eq!(header.load(Relaxed), 0x0003_0005);
    assert!(is_taken(&header, None));
}

#[test]
fn an_access_ends_once_nothing_is_mapped() {
    for mapped in [READING, WRITING, READING | WRITING] {
        let header = SharedWord32::new(permit(1, false) | mapped);
        assert!(!end_v1(&header));
        assert_eq!(header.load(Relaxed), permit(1, false) | mapped);
        header.store(permit(1, false), Relaxed);
        assert!(end_v1(&header));
        assert!(!is_taken(&header, None));
    }
}

#[test]
fn with_version_2_the_entry_goes_at_once_and_the_status_says_the_rest() {
    let header = SharedWord32::new(permit(1, false));
    let status = SharedWord16::new(READING as u16);
    assert!(!end_v2(&header, &status));
    assert_eq!(header.load(Relaxed), 0);
    assert!(is_taken(&header, Some(&status)));
    status.store(0, Relaxed);
    assert!(end_v2(&header, &status));
    assert!(!is_taken(&header, Some(&status)));
}

#[test]
fn an_end_is_an_end_however_often_it_is_asked_for() {
    let header = SharedWord32::new(0);
    let status = SharedWord16::new(0);
    for _ in 0..3 {
        assert!(end_v1(&header));
        assert!(end_v2(&header, &status));
    }
}

#[test]
fn g6_an_entry_that_changes_all_the_time_is_given_up_soon_and_counts_as_mapped() {
    let mut attempts = 0;
    // It is never mapped when it is looked at, and never as it was.
    let ended = end_by(permit(1, false), |seen| {
        attempts += 1;
        Err(seen ^ 0x20)
    });
    assert!(!ended);
    assert!((2..100).contains(&attempts), "{attempts}");
}

#[test]
fn g6_an_entry_that_changed_a_few_times_ends_or_is_found_to_be_mapped() {
    for mapped in [0, READING, WRITING] {
        let mut changes = [0x20, 0x40, mapped].into_iter();
        let ended = end_by(permit(1, false), |seen| match changes.next() {
            Some(change) => Err(permit(1, false) | change),
            None => Ok(seen),
        });
        assert_eq!(ended, mapped == 0);
    }
}

proptest! {
    #[test]
    fn whatever_is_in_an_entry_it_ends_exactly_if_nothing_is_mapped(bits in any::<u32>()) {
        let header = SharedWord32::new(bits);
        let ended = end_v1(&header);
        prop_assert_eq!(ended, bits & (READING | WRITING) == 0);
        prop_assert_eq!(header.load(Relaxed), if ended { 0 } else { bits });
        let status = SharedWord16::new(bits as u16);
        prop_assert_eq!(end_v2(&SharedWord32::new(bits), &status), ended);
        prop_assert_eq!(status.load(Relaxed), bits as u16);
    }
}
