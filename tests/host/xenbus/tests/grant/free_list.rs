// SPDX-License-Identifier: GPL-2.0

//! The free references, used by one CPU at a time: none is lost, none is handed out twice, and none is left where
//! somebody else needs it.

use proptest::prelude::*;
use pure_xenbus::grant::{
    free_list::{
        FreeList,
        Stack,
        BATCH,
        CACHE_LIMIT, //
    },
    words::Word32,
};
use std::collections::BTreeSet;

/// What a list is made of.
struct Parts {
    links: Vec<Word32>,
    pool: Stack,
    caches: Vec<Stack>,
}

impl Parts {
    fn new(references: usize, cpus: usize) -> Self {
        Self {
            links: (0..references).map(|_| Word32::new(0)).collect(),
            pool: Stack::new(),
            caches: (0..cpus).map(|_| Stack::new()).collect(),
        }
    }

    fn list(&self) -> FreeList<'_> {
        FreeList {
            links: &self.links,
            pool: &self.pool,
            caches: &self.caches,
        }
    }
}

fn take(list: FreeList<'_>, cpu: usize, wanted: u32) -> Vec<u32> {
    let mut taken = Vec::new();
    let count = list.take(cpu, wanted, |number| taken.push(number));
    assert_eq!(count as usize, taken.len());
    taken
}

#[test]
fn an_empty_list_gives_nothing() {
    let parts = Parts::new(512, 2);
    assert_eq!(take(parts.list(), 0, 1), []);
    assert_eq!(take(parts.list(), 1, 0), []);
    assert_eq!(parts.list().free(), 0);
}

#[test]
fn what_is_not_usable_is_not_added() {
    let parts = Parts::new(100, 1);
    let list = parts.list();
    // 0 is none, and there is no place for 100 and on.
    assert_eq!(list.add(0..200, |number| number % 2 == 1), 50);
    let taken: BTreeSet<_> = take(list, 0, 1000).into_iter().collect();
    assert_eq!(taken, (0..100).filter(|number| number % 2 == 1).collect());
    assert_eq!(list.add(0..1, |_| true), 0);
    assert_eq!(list.add(5..5, |_| true), 0);
}

#[test]
fn a_cache_is_filled_in_batches_and_overflows_in_batches() {
    let parts = Parts::new(512, 2);
    let list = parts.list();
    assert_eq!(list.add(8..512, |_| true), 504);
    let one = take(list, 0, 1);
    assert_eq!(list.cached(), BATCH - 1);
    assert_eq!(list.free(), 503);
    // From the cache now: the pool is as it was.
    let pool = parts.pool.length();
    let more = take(list, 0, BATCH - 1);
    assert_eq!(parts.pool.length(), pool);
    for number in one.into_iter().chain(more) {
        list.give(0, number);
    }
    for number in take(list, 1, 200) {
        list.give(0, number);
        assert!(parts.caches[0].length() <= CACHE_LIMIT);
    }
    assert_eq!(list.free(), 504);
}

#[test]
fn what_lies_in_other_caches_can_be_had() {
    let parts = Parts::new(64, 4);
    let list = parts.list();
    list.add(8..20, |_| true);
    for (cpu, number) in take(list, 0, 12).into_iter().enumerate() {
        list.give(cpu, number);
    }
    assert_eq!(parts.pool.length(), 0);
    assert_eq!(take(list, 3, 100).len(), 12);
}

#[test]
fn any_number_of_a_cpu_has_a_cache() {
    for cpus in [0, 1, 3] {
        let parts = Parts::new(64, cpus);
        let list = parts.list();
        list.add(8..64, |_| true);
        for cpu in [0, 1, 7, usize::MAX] {
            let taken = take(list, cpu, 3);
            assert_eq!(taken.len(), 3);
            taken.into_iter().for_each(|number| list.give(cpu, number));
        }
        assert_eq!(list.free(), 56);
    }
}

/// What is done to a list.
#[derive(Clone, Copy, Debug)]
enum Step {
    Take {
        cpu: usize,
        wanted: u32,
    },
    /// The oldest that are out.
    Give {
        cpu: usize,
        count: usize,
    },
    Grow {
        frames: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..5, 0u32..150).prop_map(|(cpu, wanted)| Step::Take { cpu, wanted }),
        4 => (0usize..5, 0usize..150).prop_map(|(cpu, count)| Step::Give { cpu, count }),
        1 => (1u32..3).prop_map(|frames| Step::Grow { frames }),
    ]
}

proptest! {
    #[test]
    fn every_reference_is_at_one_place(steps in proptest::collection::vec(step(), 1..80)) {
        const FRAME: u32 = 64;
        const MOST: u32 = 10 * FRAME;
        let parts = Parts::new(MOST as usize, 3);
        let list = parts.list();
        let mut known = 8;
        let mut out = std::collections::VecDeque::new();
        for step in steps {
            match step {
                Step::Take { cpu, wanted } => {
                    let free = known - 8 - out.len() as u32;
                    let taken = take(list, cpu, wanted);
                    prop_assert_eq!(taken.len() as u32, wanted.min(free));
                    out.extend(taken);
                }
                Step::Give { cpu, count } => {
                    for number in out.drain(..count.min(out.len())) {
                        list.give(cpu, number);
                    }
                }
                Step::Grow { frames } => {
                    let end = (known + frames * FRAME).min(MOST);
                    prop_assert_eq!(list.add(known..end, |_| true), end - known);
                    known = end;
                }
            }
            let unique: BTreeSet<_> = out.iter().copied().collect();
            prop_assert_eq!(unique.len(), out.len());
            prop_assert!(out.iter().all(|number| (8..known).contains(number)));
            prop_assert_eq!(list.free() as usize + out.len(), known as usize - 8);
        }
        out.extend(take(list, 0, MOST));
        let all: BTreeSet<_> = out.into_iter().collect();
        prop_assert_eq!(all, (8..known).collect());
    }
}

/// A restore on a host with fewer frames, and one on a host that has them again.
#[test]
fn references_without_a_frame_are_set_aside_until_there_is_one() {
    let parts = Parts::new(512, 2);
    let aside = Stack::new();
    let list = parts.list();
    list.add(8..512, |_| true);
    // Some are out, some in each cache, some in the pool.
    let mut out = take(list, 0, 100);
    take(list, 1, 5).into_iter().for_each(|n| list.give(1, n));
    list.sort(256, &aside);
    assert_eq!(list.cached(), 0);
    assert_eq!(
        list.free() as usize + aside.length() as usize + out.len(),
        504
    );
    let taken = take(list, 0, 1000);
    assert!(taken.iter().all(|number| *number < 256));
    assert_eq!(list.free(), 0);
    out.extend(taken);
    for number in out {
        if number < 256 {
            list.give(0, number);
        } else {
            list.set_aside(number, &aside);
        }
    }
    assert_eq!((list.free(), aside.length()), (248, 256));
    assert_eq!(list.bring_back(300, &aside), 44);
    assert_eq!((list.free(), aside.length()), (292, 212));
    list.sort(512, &aside);
    assert_eq!(aside.length(), 0);
    let all: BTreeSet<_> = take(list, 1, 1000).into_iter().collect();
    assert_eq!(all, (8..512).collect());
}

proptest! {
    #[test]
    fn sorting_loses_nothing(limits in proptest::collection::vec(0u32..400, 1..6), taken in 0u32..300) {
        let parts = Parts::new(400, 3);
        let aside = Stack::new();
        let list = parts.list();
        list.add(8..400, |_| true);
        for number in take(list, 1, taken) {
            list.give(number as usize, number);
        }
        for limit in limits {
            list.sort(limit, &aside);
            prop_assert_eq!(list.free(), limit.max(8) - 8);
            prop_assert_eq!(list.free() + aside.length(), 392);
        }
        list.bring_back(400, &aside);
        let all: BTreeSet<_> = take(list, 0, 1000).into_iter().collect();
        prop_assert_eq!(all, (8..400).collect());
    }
}
