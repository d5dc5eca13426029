// SPDX-License-Identifier: GPL-2.0

//! What a backend that never lets go can make a guest keep.

use proptest::prelude::*;
use pure_xenbus::grant::limit::{
    may_lend,
    MOST_DEFERRED, //
};

/// What a backend does with one connection: how many pages it keeps when that ends, and how many of all that it has kept
/// it lets go of afterwards.
#[derive(Clone, Copy, Debug)]
struct Round {
    lent: usize,
    kept: usize,
    released: usize,
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let round =
        (1..1000_usize, 0..1000_usize, 0..500_usize).prop_map(|(lent, kept, released)| Round {
            lent,
            kept: kept.min(lent),
            released,
        });
    prop::collection::vec(round, 1..300)
}

#[test]
fn g2_a_backend_that_keeps_all_is_refused_and_served_again_once_it_lets_go() {
    let (mut deferred, mut connections) = (0, 0);
    while may_lend(deferred) {
        deferred += 258;
        connections += 1;
        assert!(connections < 100, "there is no end to it");
    }
    // Some connections that are left in the middle are no reason to refuse.
    assert!(connections > 4);
    assert!(!may_lend(deferred));
    assert!(may_lend(MOST_DEFERRED - 1));
    assert!(may_lend(0));
}

proptest! {
    #[test]
    fn g2_what_is_kept_is_less_than_the_limit_and_one_connection(rounds in rounds()) {
        let mut deferred = 0;
        for Round { lent, kept, released } in rounds {
            if may_lend(deferred) {
                deferred += kept;
            }
            prop_assert!(deferred < MOST_DEFERRED + lent.max(1000));
            deferred -= released.min(deferred);
        }
    }
}
