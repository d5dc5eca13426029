// SPDX-License-Identifier: GPL-2.0

//! The free grant references: a cache for each CPU over a pool that all share. Pure, tested on the build machine and
//! there checked with loom.
//!
//! Cache and pool are the same thing, a stack whose links lie in one array with a place for each reference. A stack is
//! taken from and put on with one compare-and-exchange of its head, several references at a time, so any CPU may touch
//! any cache in any context: that they belong to CPUs only keeps CPUs out of each other's way, and nothing is lost when
//! a task moves to another CPU halfway. The head counts how often it has changed, so that one which is back at the same
//! reference is not taken for one that never changed.

use super::words::{
    Word32,
    Word64, //
};

/// No reference. The first ones belong to the toolstack, so this one is never free.
const NONE: u32 = 0;
/// How many references go from the pool to a cache or back at once.
pub const BATCH: u32 = 32;
/// How many references a cache keeps at the most.
pub const CACHE_LIMIT: u32 = 2 * BATCH;

/// A stack of references: the pool, or the cache of a CPU. On a cache line of its own.
#[repr(align(64))]
pub struct Stack {
    // How often it has changed, in the upper half, and the topmost reference.
    head: Word64,
    // Never less than there are: counted before references are put on and after they are taken.
    length: Word32,
}

/// References that are taken off a stack, linked.
struct Chain {
    first: u32,
    last: u32,
    count: u32,
}

impl Stack {
    /// An empty one.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            head: Word64::new(0),
            length: Word32::new(0),
        }
    }

    /// How many references there are; a few more while others put some on.
    #[inline]
    pub fn length(&self) -> u32 {
        self.length.load()
    }
}

/// The topmost reference of a head.
const fn top(head: u64) -> u32 {
    head as u32
}

/// The head that comes after another one.
const fn successor(head: u64, top: u32) -> u64 {
    const CHANGE: u64 = 1 << 32;
    (head & !(CHANGE - 1)).wrapping_add(CHANGE) | top as u64
}

/// All free references.
#[derive(Clone, Copy)]
pub struct FreeList<'a> {
    /// For each reference the one below it on its stack.
    pub links: &'a [Word32],
    /// What all CPUs share.
    pub pool: &'a Stack,
    /// One for each CPU, or for several.
    pub caches: &'a [Stack],
}

impl FreeList<'_> {
    /// The reference below another one.
    #[inline]
    fn link(&self, number: u32) -> u32 {
        self.links
            .get(number as usize)
            .map_or(NONE, |link| link.load())
    }

    /// Notes the reference below another one.
    #[inline]
    fn set_link(&self, number: u32, below: u32) {
        if let Some(link) = self.links.get(number as usize) {
            link.store(below);
        }
    }

    /// The cache of a CPU.
    #[inline]
    fn cache(&self, cpu: usize) -> &Stack {
        self.caches
            .get(cpu.checked_rem(self.caches.len()).unwrap_or(0))
            .unwrap_or(self.pool)
    }

    /// Puts references on a stack.
    #[inline]
    fn push(&self, stack: &Stack, chain: &Chain) {
        stack.length.add(chain.count);
        loop {
            let head = stack.head.load();
            self.set_link(chain.last, top(head));
            if stack.head.exchange(head, successor(head, chain.first)) {
                return;
            }
        }
    }

    /// Takes references off a stack, as many as there are but not more than `most`.
    #[inline]
    fn pop(&self, stack: &Stack, most: u32) -> Option<Chain> {
        if most == 0 {
            return None;
        }
        loop {
            let head = stack.head.load();
            let first = top(head);
            if first == NONE {
                return None;
            }
            // If somebody else changes the stack meanwhile, this walk leads anywhere, but not far, and the exchange
            // below fails.
            let (mut last, mut count) = (first, 1);
            let mut below = self.link(last);
            while count < most && below != NONE {
                last = below;
                count += 1;
                below = self.link(last);
            }
            if stack.head.exchange(head, successor(head, below)) {
                stack.length.add(count.wrapping_neg());
                return Some(Chain { first, last, count });
            }
        }
    }

    /// Hands the references of a chain out, up to `wanted`; the others go to a stack. Returns how many were handed out.
    fn hand_out(
        &self,
        mut chain: Chain,
        wanted: u32,
        rest: &Stack,
        sink: &mut impl FnMut(u32),
    ) -> u32 {
        let handed_out = wanted.min(chain.count);
        for _ in 0..handed_out {
            let number = chain.first;
            chain.first = self.link(number);
            chain.count -= 1;
            sink(number);
        }
        if chain.count > 0 {
            self.push(rest, &chain);
        }
        handed_out
    }

    /// Takes up to `wanted` references and passes each to `sink`. Returns how many they were: fewer only if there are no
    /// more, in any cache.
    pub fn take(&self, cpu: usize, wanted: u32, mut sink: impl FnMut(u32)) -> u32 {
        let own = self.cache(cpu);
        let mut taken = 0;
        let others = self.caches.iter();
        for stack in [own, self.pool].into_iter().chain(others) {
            while taken < wanted {
                let left = wanted - taken;
                // What is taken from elsewhere fills the CPU's own cache.
                let most = if core::ptr::eq(stack, own) {
                    left
                } else {
                    left.max(BATCH)
                };
                let Some(chain) = self.pop(stack, most) else {
                    break;
                };
                taken += self.hand_out(chain, left, own, &mut sink);
            }
        }
        taken
    }

    /// Puts a reference back that was taken.
    #[inline]
    pub fn give(&self, cpu: usize, number: u32) {
        let cache = self.cache(cpu);
        self.push(
            cache,
            &Chain {
                first: number,
                last: number,
                count: 1,
            },
        );
        if cache.length() > CACHE_LIMIT {
            if let Some(chain) = self.pop(cache, BATCH) {
                self.push(self.pool, &chain);
            }
        }
    }

    /// Adds the references of a range that were never there before, but for those that `is_usable` refuses. Returns how
    /// many were added.
    pub fn add(&self, range: core::ops::Range<u32>, is_usable: impl Fn(u32) -> bool) -> u32 {
        let mut chain = Chain {
            first: NONE,
            last: NONE,
            count: 0,
        };
        for number in range {
            if number == NONE || number as usize >= self.links.len() || !is_usable(number) {
                continue;
            }
            if chain.count == 0 {
                chain.last = number;
            } else {
                self.set_link(number, chain.first);
            }
            chain.first = number;
            chain.count += 1;
        }
        if chain.count > 0 {
            self.push(self.pool, &chain);
        }
        chain.count
    }

    /// Puts a reference on a stack of its own, where nobody takes it from.
    pub fn set_aside(&self, number: u32, aside: &Stack) {
        self.push(
            aside,
            &Chain {
                first: number,
                last: number,
                count: 1,
            },
        );
    }

    /// Sorts all free references and those that were set aside: what is below `limit` is free, the rest is set aside.
    pub fn sort(&self, limit: u32, aside: &Stack) {
        let stacks = [aside, self.pool].into_iter().chain(self.caches);
        for stack in stacks {
            self.sort_stack(stack, limit, aside);
        }
    }

    /// Brings back what was set aside and is now below `limit`. Returns how many references came back.
    pub fn bring_back(&self, limit: u32, aside: &Stack) -> u32 {
        self.sort_stack(aside, limit, aside)
    }

    /// Empties a stack: what is below `limit` goes to the pool, the rest is set aside. Returns how many went to the pool.
    fn sort_stack(&self, stack: &Stack, limit: u32, aside: &Stack) -> u32 {
        let mut pooled = 0;
        let Some(chain) = self.pop(stack, u32::MAX) else {
            return pooled;
        };
        let mut number = chain.first;
        for _ in 0..chain.count {
            // Read first: to put it on a stack changes it.
            let below = self.link(number);
            let target = if number < limit { self.pool } else { aside };
            self.set_aside(number, target);
            pooled += u32::from(number < limit);
            number = below;
        }
        pooled
    }

    /// How many references are in the caches.
    pub fn cached(&self) -> u32 {
        self.caches
            .iter()
            .fold(0, |sum, cache| sum.wrapping_add(cache.length()))
    }

    /// How many references are free.
    pub fn free(&self) -> u32 {
        self.pool.length().wrapping_add(self.cached())
    }
}
