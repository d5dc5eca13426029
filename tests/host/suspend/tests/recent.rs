// SPDX-License-Identifier: GPL-2.0

//! The median of the latest durations.

use proptest::prelude::*;
use pure_suspend::recent::{
    Recent,
    KEPT, //
};

#[test]
fn the_one_in_the_middle() {
    let mut recent = Recent::new();
    assert_eq!(recent.median(), 0);
    for (value, median) in [(7, 7), (1, 1), (9, 7), (9, 7), (0, 7)] {
        recent.add(value);
        assert_eq!(recent.median(), median, "after {value}");
    }
}

proptest! {
    #[test]
    fn is_that_of_the_latest(values in proptest::collection::vec(any::<u64>(), 1..100)) {
        let mut recent = Recent::default();
        for value in &values {
            recent.add(*value);
        }
        let mut latest = values[values.len().saturating_sub(KEPT)..].to_vec();
        latest.sort_unstable();
        prop_assert_eq!(recent.median(), latest[(latest.len() - 1) / 2]);
    }
}
