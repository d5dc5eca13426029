// SPDX-License-Identifier: GPL-2.0

//! The number of slots, and which slot an index has.

use proptest::prelude::*;
use pure_xenbus::indices::Indices;
use reference::Slots;

/// Bytes of a page after the four indices and their padding.
const ROOM: u32 = 4096 - 64;

#[test]
fn rings_of_a_page_have_as_many_slots_as_in_c() {
    let slots = Slots::of_a_page();
    assert_eq!(slots.block, super::front::SLOTS);
    // The larger of request and response: 112 bytes of block, 12 and 8 of network.
    assert_eq!(Indices::new(ROOM / 112).size(), slots.block);
    assert_eq!(Indices::new(ROOM / 12).size(), slots.transmit);
    assert_eq!(Indices::new(ROOM / 8).size(), slots.receive);
}

#[test]
fn smallest_and_largest_sizes() {
    assert_eq!(Indices::new(0).size(), 1);
    assert_eq!(Indices::new(1).size(), 1);
    assert_eq!(Indices::new(2).size(), 2);
    assert_eq!(Indices::new(3).size(), 2);
    assert_eq!(Indices::new(1 << 31).size(), 1 << 31);
    assert_eq!(Indices::new(u32::MAX).size(), 1 << 31);
}

proptest! {
    #[test]
    fn size_is_the_power_of_two_not_above(size in 1..=u32::MAX) {
        let rounded = Indices::new(size).size();
        prop_assert!(rounded.is_power_of_two());
        prop_assert!(rounded <= size && size / 2 < rounded);
    }

    #[test]
    fn slots_follow_each_other_without_gap(size in 1u32..5000, at: u32) {
        let indices = Indices::starting_at(size, at);
        let slot = indices.slot(at);
        prop_assert!(slot < indices.size());
        prop_assert_eq!(indices.slot(at.wrapping_add(1)), (slot + 1) % indices.size());
        prop_assert_eq!(indices.slot(at.wrapping_add(indices.size())), slot);
    }

    #[test]
    fn exactly_as_many_requests_fit_as_there_are_slots(size in 1u32..5000, at: u32) {
        let mut indices = Indices::starting_at(size, at);
        for number in 0..indices.size() {
            prop_assert_eq!(indices.free(), indices.size() - number);
            prop_assert_eq!(indices.claim(), Some(at.wrapping_add(number)));
            prop_assert_eq!(indices.unpublished(), number + 1);
        }
        let full = indices;
        prop_assert_eq!(indices.claim(), None);
        prop_assert_eq!(indices, full);
        prop_assert_eq!(indices.unanswered(), indices.size());
    }
}
