// SPDX-License-Identifier: GPL-2.0

//! The lock-free parts in every order in which two CPUs, or a CPU and the hypervisor, can get at the memory.

/// The same files once more, over loom's words.
mod checked {
    #[allow(dead_code)]
    #[path = "../../../../../../../xenbus/grant/native/entry.rs"]
    pub mod entry;
    #[allow(dead_code)]
    #[path = "../../../../../../../xenbus/grant/native/free_list.rs"]
    pub mod free_list;
    pub mod words;
}

use checked::{
    entry,
    free_list::{
        FreeList,
        Stack, //
    },
    words::{
        fence,
        Ordering,
        SharedWord16,
        SharedWord32,
        Word32, //
    },
};
use loom::{
    cell::UnsafeCell,
    sync::Arc,
    thread, //
};
use std::collections::BTreeSet;

/// How often a thread is interrupted at the most in one order.
const INTERRUPTIONS: usize = 3;

fn check(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(INTERRUPTIONS);
    model.check(test);
}

/// A list of a few references.
struct Parts {
    links: Vec<Word32>,
    pool: Stack,
    caches: Vec<Stack>,
}

impl Parts {
    fn new(references: u32, cpus: usize) -> Self {
        let parts = Self {
            links: (0..references + 1).map(|_| Word32::new(0)).collect(),
            pool: Stack::new(),
            caches: (0..cpus).map(|_| Stack::new()).collect(),
        };
        parts.list().add(1..references + 1, |_| true);
        parts
    }

    fn list(&self) -> FreeList<'_> {
        FreeList {
            links: &self.links,
            pool: &self.pool,
            caches: &self.caches,
        }
    }

    fn take(&self, cpu: usize, wanted: u32) -> Vec<u32> {
        let mut taken = Vec::new();
        self.list().take(cpu, wanted, |number| taken.push(number));
        taken
    }

    /// All references are there, in the list or in what is out.
    fn check_complete(&self, out: impl IntoIterator<Item = u32>) {
        let mut all = BTreeSet::new();
        let references = self.links.len() as u32 - 1;
        for number in out.into_iter().chain(self.take(0, references)) {
            assert!(all.insert(number), "{number} twice");
        }
        assert_eq!(all, (1..references + 1).collect());
        assert_eq!(self.list().free(), 0);
    }
}

#[test]
fn two_cpus_take_and_none_gets_what_the_other_has() {
    check(|| {
        let parts = Arc::new(Parts::new(3, 2));
        let other = parts.clone();
        let thread = thread::spawn(move || other.take(1, 1));
        let mut out = parts.take(0, 1);
        out.extend(thread.join().unwrap());
        parts.check_complete(out);
    });
}

#[test]
fn a_task_that_moved_to_another_cpu_halfway_loses_nothing() {
    // Both use the same cache. While one is about to take the first reference, the other takes two and puts the first
    // back: the cache begins as before, but goes on otherwise.
    check(|| {
        let parts = Arc::new(Parts::new(3, 1));
        for number in parts.take(0, 3) {
            parts.list().give(0, number);
        }
        let other = parts.clone();
        let thread = thread::spawn(move || {
            let mut taken = other.take(0, 2);
            if !taken.is_empty() {
                other.list().give(0, taken.remove(0));
            }
            taken
        });
        let mut out = parts.take(0, 1);
        out.extend(thread.join().unwrap());
        parts.check_complete(out);
    });
}

#[test]
fn what_one_gives_another_takes() {
    check(|| {
        let parts = Arc::new(Parts::new(2, 2));
        let given = parts.take(0, 2);
        let other = parts.clone();
        let thread = thread::spawn(move || {
            for number in given {
                other.list().give(0, number);
            }
        });
        let out = parts.take(1, 1);
        thread.join().unwrap();
        parts.check_complete(out);
    });
}

#[test]
fn the_table_grows_while_references_are_taken() {
    check(|| {
        let parts = Arc::new(Parts {
            links: (0..5).map(|_| Word32::new(0)).collect(),
            pool: Stack::new(),
            caches: vec![Stack::new()],
        });
        parts.list().add(1..3, |_| true);
        let other = parts.clone();
        let thread = thread::spawn(move || other.list().add(3..5, |_| true));
        let out = parts.take(0, 2);
        assert_eq!(thread.join().unwrap(), 2);
        parts.check_complete(out);
    });
}

#[test]
fn references_come_back_while_others_are_taken_and_set_aside() {
    check(|| {
        let parts = Arc::new(Parts::new(2, 1));
        let aside = Arc::new(Stack::new());
        let mut out = parts.take(0, 1);
        out.drain(..)
            .for_each(|number| parts.list().set_aside(number, &aside));
        let (other, its_aside) = (parts.clone(), aside.clone());
        let thread = thread::spawn(move || {
            other.list().bring_back(u32::MAX, &its_aside);
        });
        out.extend(parts.take(0, 1));
        thread.join().unwrap();
        assert_eq!(aside.length(), 0);
        parts.check_complete(out);
    });
}

const PERMIT: u32 = 1;
const READING: u32 = 8;

/// A page that is lent: in the hands of the other end while that has it mapped, in the guest's once the access has ended.
struct Lent {
    header: SharedWord32,
    status: SharedWord16,
    page: UnsafeCell<u32>,
}

// The two never touch the page at the same time: that is what is checked.
unsafe impl Sync for Lent {}
unsafe impl Send for Lent {}

impl Lent {
    fn new() -> Self {
        let lent = Self {
            header: SharedWord32::new(0),
            status: SharedWord16::new(0),
            page: UnsafeCell::new(0),
        };
        entry::begin(&lent.header, 0, false);
        lent
    }

    /// The other end, by way of the hypervisor, maps the page, uses it and unmaps it: version 1.
    fn use_v1(&self) {
        let mut seen = self.header.load(Ordering::Acquire);
        loop {
            if seen & PERMIT == 0 {
                return;
            }
            let mapped = seen | READING;
            match self
                .header
                .compare_exchange(seen, mapped, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        self.page.with_mut(|page| unsafe { *page += 1 });
        self.header.fetch_and(!READING, Ordering::AcqRel);
    }

    /// The same with version 2: the status first, then another look at the entry.
    fn use_v2(&self) {
        if self.header.load(Ordering::Acquire) & PERMIT == 0 {
            return;
        }
        self.status.fetch_or(READING as u16, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        if self.header.load(Ordering::Acquire) & PERMIT != 0 {
            self.page.with_mut(|page| unsafe { *page += 1 });
        }
        self.status.fetch_and(!(READING as u16), Ordering::AcqRel);
    }

    /// The guest uses the page again.
    fn reuse(&self) {
        self.page.with_mut(|page| unsafe { *page += 1 });
    }
}

#[test]
fn after_the_end_of_an_access_the_page_is_ours() {
    check(|| {
        let lent = Arc::new(Lent::new());
        let other = lent.clone();
        let thread = thread::spawn(move || other.use_v1());
        if entry::end_v1(&lent.header) {
            lent.reuse();
        }
        thread.join().unwrap();
        // Now, if not then.
        assert!(entry::end_v1(&lent.header));
    });
}

#[test]
fn after_the_end_of_an_access_the_page_is_ours_with_version_2() {
    check(|| {
        let lent = Arc::new(Lent::new());
        let other = lent.clone();
        let thread = thread::spawn(move || other.use_v2());
        if entry::end_v2(&lent.header, &lent.status) {
            lent.reuse();
        }
        thread.join().unwrap();
        assert!(entry::end_v2(&lent.header, &lent.status));
    });
}

#[test]
fn a_page_lent_again_shows_what_was_written_before() {
    check(|| {
        let lent = Arc::new(Lent::new());
        assert!(entry::end_v1(&lent.header));
        let other = lent.clone();
        let thread = thread::spawn(move || other.use_v1());
        lent.reuse();
        entry::begin(&lent.header, 0, false);
        thread.join().unwrap();
    });
}
