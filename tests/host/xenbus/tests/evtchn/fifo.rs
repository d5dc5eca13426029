// SPDX-License-Identifier: GPL-2.0

//! The queues of the FIFO ABI.

use crate::xen::{
    Fifo,
    Lock, //
};
use core::{
    cell::RefCell,
    sync::atomic::{
        AtomicU32,
        Ordering::SeqCst, //
    }, //
};
use proptest::prelude::*;
use pure_xenbus::evtchn::{
    fifo::{
        unmask,
        Memory,
        Queues,
        Taken,
        BUSY,
        LINK,
        LINKED,
        MASKED,
        PENDING,
        QUEUES, //
    },
    port::Ports,
    shared::Unmasked, //
};

/// One CPU of the hypervisor is all there is.
pub(crate) struct Alone(RefCell<[u32; QUEUES]>);

impl Lock for Alone {
    fn new() -> Self {
        Self(RefCell::new([0; QUEUES]))
    }

    fn with<R>(&self, work: impl FnOnce(&mut [u32; QUEUES]) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }
}

type Xen = Fifo<AtomicU32, Alone>;

/// Ports below `count`, unmasked.
fn xen(count: usize) -> Xen {
    let xen = Xen::new(count);
    (1..count as u32).for_each(|port| Ports::unmask(&xen, port).unwrap());
    xen
}

/// All ports with events, in the order in which they are taken; each is acknowledged.
fn take_all(queues: &mut Queues, xen: &Xen) -> Vec<u32> {
    let mut taken = Vec::new();
    while let Some(next) = queues.take(xen) {
        match next {
            Taken::Event(port) => {
                Ports::clear(xen, port);
                taken.push(port);
            }
            Taken::Idle(_) => {}
            Taken::Bad(port) => panic!("{port} is a port"),
        }
    }
    taken
}

#[test]
fn bits_are_those_of_the_protocol() {
    assert_eq!(
        [PENDING, MASKED, LINKED, BUSY, LINK],
        [0x8000_0000, 0x4000_0000, 0x2000_0000, 0x1000_0000, 0x1_ffff]
    );
}

#[test]
fn events_come_in_the_order_in_which_they_were_raised() {
    let (xen, mut queues) = (xen(100), Queues::new());
    assert!(xen.raise(42), "the first one calls the guest");
    assert!(
        !xen.raise(7) && !xen.raise(99) && !xen.raise(42),
        "the queue is not empty"
    );
    assert_eq!(take_all(&mut queues, &xen), [42, 7, 99]);
    assert!(xen.raise(99), "the queue was empty");
    assert_eq!(take_all(&mut queues, &xen), [99]);
}

#[test]
fn a_higher_priority_goes_first_even_in_the_middle_of_another_queue() {
    let (mut xen, mut queues) = (xen(10), Queues::new());
    xen.queue[9] = 0;
    xen.raise(1);
    xen.raise(2);
    assert_eq!(queues.take(&xen), Some(Taken::Event(1)));
    xen.raise(9);
    assert_eq!(queues.take(&xen), Some(Taken::Event(9)));
    assert_eq!(queues.take(&xen), Some(Taken::Event(2)));
    assert_eq!(queues.take(&xen), None);
}

#[test]
fn an_event_of_a_masked_port_waits_until_it_is_unmasked() {
    let (xen, mut queues) = (xen(4), Queues::new());
    Ports::mask(&xen, 1);
    assert!(!xen.raise(1));
    assert_eq!(queues.take(&xen), None);
    // Linked first, masked then: it is taken off the queue, and raised again by unmasking.
    xen.raise(2);
    Ports::mask(&xen, 2);
    assert_eq!(queues.take(&xen), Some(Taken::Idle(2)));
    assert_eq!(queues.take(&xen), None);
    Ports::unmask(&xen, 2).unwrap();
    Ports::unmask(&xen, 1).unwrap();
    assert_eq!(take_all(&mut queues, &xen), [2, 1]);
}

#[test]
fn a_port_that_was_closed_while_it_was_queued_is_passed_over() {
    let (xen, mut queues) = (xen(4), Queues::new());
    xen.raise(1);
    xen.raise(2);
    // The hypervisor clears the event of a port that is closed, but leaves it in the queue.
    xen.word(1).fetch_and(!PENDING, SeqCst);
    assert_eq!(queues.take(&xen), Some(Taken::Idle(1)));
    assert_eq!(queues.take(&xen), Some(Taken::Event(2)));
}

#[test]
fn unmasking_gives_up_on_a_word_that_stays_busy() {
    for (word, outcome, left) in [
        (0, Unmasked::Yes, 0),
        (LINKED | 5, Unmasked::Yes, LINKED | 5),
        (MASKED, Unmasked::Yes, 0),
        (MASKED | LINKED | 5, Unmasked::Yes, LINKED | 5),
        (MASKED | PENDING, Unmasked::ByHypervisor, MASKED | PENDING),
        (MASKED | BUSY, Unmasked::ByHypervisor, MASKED | BUSY),
    ] {
        let word = AtomicU32::new(word);
        assert_eq!(unmask(&word), outcome);
        assert_eq!(word.load(SeqCst), left);
    }
}

#[test]
fn a_head_that_is_no_port_ends_the_queue_only() {
    for bad in [0, 10, LINK, u32::MAX] {
        let (mut xen, mut queues) = (xen(10), Queues::new());
        xen.queue[3] = 9;
        xen.raise(3);
        xen.ready.fetch_or(1 << 2, SeqCst);
        xen.heads[2].store(bad, SeqCst);
        assert_eq!(queues.take(&xen), Some(Taken::Bad(bad)));
        assert_eq!(queues.take(&xen), Some(Taken::Event(3)));
        assert_eq!(queues.take(&xen), None);
    }
}

/// What happens to a port, or to all.
#[derive(Clone, Copy, Debug)]
enum Step {
    Raise(u32),
    Mask(u32),
    Unmask(u32),
    Take,
}

const PORTS: u32 = 12;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..PORTS).prop_map(Step::Raise),
        1 => (1..PORTS).prop_map(Step::Mask),
        2 => (1..PORTS).prop_map(Step::Unmask),
        4 => Just(Step::Take),
    ]
}

proptest! {
    #[test]
    fn every_event_is_taken_once_the_port_is_unmasked(
        queue in proptest::collection::vec(0..QUEUES, PORTS as usize),
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let (mut xen, mut queues) = (xen(PORTS as usize), Queues::new());
        xen.queue = queue;
        // What the guest has not seen yet.
        let mut open = [false; PORTS as usize];
        for step in steps {
            match step {
                Step::Raise(port) => {
                    xen.raise(port);
                    open[port as usize] = true;
                }
                Step::Mask(port) => Ports::mask(&xen, port),
                Step::Unmask(port) => Ports::unmask(&xen, port).unwrap(),
                Step::Take => match queues.take(&xen) {
                    Some(Taken::Event(port)) => {
                        prop_assert!(open[port as usize], "{} has no event", port);
                        prop_assert!(xen.word(port).load(SeqCst) & MASKED == 0);
                        Ports::clear(&xen, port);
                        open[port as usize] = false;
                    }
                    Some(Taken::Bad(port)) => prop_assert!(false, "{} is a port", port),
                    Some(Taken::Idle(_)) | None => {}
                },
            }
        }
        (1..PORTS).for_each(|port| Ports::unmask(&xen, port).unwrap());
        for port in take_all(&mut queues, &xen) {
            prop_assert!(core::mem::replace(&mut open[port as usize], false));
        }
        prop_assert_eq!(open, [false; PORTS as usize]);
    }

    #[test]
    fn whatever_is_in_memory_it_comes_to_an_end(
        words in proptest::collection::vec(any::<u32>(), 1..40),
        heads in proptest::collection::vec(prop_oneof![any::<u32>(), 0..40u32], QUEUES),
        ready in any::<u32>(),
    ) {
        let ports = words.len();
        let mut xen = Xen::new(ports);
        xen.words = words.into_iter().map(AtomicU32::new).collect();
        xen.heads = heads.into_iter().map(AtomicU32::new).collect();
        xen.ready.store(ready, SeqCst);
        let mut queues = Queues::new();
        // Each turn takes a port out of a queue or ends a queue.
        let turns = core::iter::from_fn(|| queues.take(&xen)).take(1000).count();
        prop_assert!(turns <= ports + 2 * QUEUES, "{turns} turns");
        prop_assert_eq!(xen.ready().load(SeqCst), 0);
    }
}
