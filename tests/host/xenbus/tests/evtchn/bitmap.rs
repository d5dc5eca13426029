// SPDX-License-Identifier: GPL-2.0

//! The bitmaps of the 2-level ABI.

use crate::xen::{
    Bitmap,
    View, //
};
use core::sync::atomic::{
    AtomicU64,
    Ordering::SeqCst, //
};
use proptest::prelude::*;
use pure_xenbus::evtchn::{
    bitmap::{
        place,
        Scan,
        PORTS,
        WORDS, //
    },
    port::Ports, //
};
use std::collections::BTreeSet;

type Xen = Bitmap<AtomicU64>;

/// All ports of so many CPUs, unmasked; port n belongs to CPU n modulo their number.
fn xen(cpus: usize) -> Xen {
    let xen = Xen::new(WORDS, cpus);
    for port in 0..PORTS as usize {
        xen.bound[port].store((port % cpus) as u64, SeqCst);
    }
    xen.mask.iter().for_each(|word| word.store(0, SeqCst));
    xen
}

/// The ports that are served, in order; each is acknowledged.
fn serve(scan: &mut Scan, xen: &Xen, cpu: usize) -> Vec<u32> {
    let mut served = Vec::new();
    let count = scan.all(&View { bitmap: xen, cpu }, |port| {
        Ports::clear(xen, port);
        served.push(port);
    });
    assert_eq!(count, served.len());
    served
}

#[test]
fn ports_beyond_the_bitmap_have_no_place() {
    assert_eq!(place(0), Some((0, 1)));
    assert_eq!(place(64), Some((1, 1)));
    assert_eq!(place(4095), Some((63, 1 << 63)));
    assert_eq!(place(4096), None);
    assert_eq!(place(u32::MAX), None);
}

#[test]
fn it_goes_on_behind_the_port_that_was_served_last() {
    let (xen, mut scan) = (xen(1), Scan::new());
    let raise = |ports: &[u32]| ports.iter().for_each(|port| _ = xen.raise(*port));
    raise(&[3, 100, 4095]);
    assert_eq!(serve(&mut scan, &xen, 0), [3, 100, 4095]);
    raise(&[100, 5]);
    assert_eq!(serve(&mut scan, &xen, 0), [5, 100]);
    // The same word, both parts of it.
    raise(&[99, 100, 101, 5, 127]);
    assert_eq!(serve(&mut scan, &xen, 0), [101, 127, 5, 99, 100]);
    raise(&[99, 100]);
    assert_eq!(serve(&mut scan, &xen, 0), [99, 100]);
    assert_eq!(serve(&mut scan, &xen, 0), []);
}

#[test]
fn a_port_is_served_on_its_own_cpu_only() {
    let (xen, mut scan) = (xen(2), Scan::new());
    xen.raise(6);
    xen.raise(7);
    assert_eq!(serve(&mut scan, &xen, 1), [7]);
    assert_eq!(serve(&mut Scan::new(), &xen, 0), [6]);
}

#[test]
fn an_event_of_a_masked_port_waits_until_it_is_unmasked() {
    let (xen, mut scan) = (xen(1), Scan::new());
    Ports::mask(&xen, 70);
    assert!(!xen.raise(70));
    assert_eq!(serve(&mut scan, &xen, 0), []);
    Ports::unmask(&xen, 70).unwrap();
    assert_eq!(serve(&mut scan, &xen, 0), [70]);
}

proptest! {
    #[test]
    fn each_event_is_served_exactly_once(
        start in 0..PORTS,
        raised in proptest::collection::btree_set(0..PORTS, 0..300),
        masked in proptest::collection::btree_set(0..PORTS, 0..300),
    ) {
        let (xen, mut scan) = (xen(1), Scan::new());
        xen.raise(start);
        prop_assert_eq!(serve(&mut scan, &xen, 0), [start]);
        masked.iter().for_each(|port| Ports::mask(&xen, *port));
        raised.iter().for_each(|port| _ = xen.raise(*port));
        let served = serve(&mut scan, &xen, 0);
        // In a circle from the one behind the start.
        let distance = |port: &u32| port.wrapping_sub(start + 1) % PORTS;
        prop_assert!(served.windows(2).all(|pair| distance(&pair[0]) < distance(&pair[1])));
        let served: BTreeSet<u32> = served.into_iter().collect();
        prop_assert_eq!(&served, &raised.difference(&masked).copied().collect());
        masked.iter().for_each(|port| Ports::unmask(&xen, *port).unwrap());
        let late: BTreeSet<u32> = serve(&mut scan, &xen, 0).into_iter().collect();
        prop_assert_eq!(&late, &raised.intersection(&masked).copied().collect());
    }

    #[test]
    fn whatever_is_in_memory_no_port_is_served_twice(
        words in proptest::collection::vec((any::<u64>(), any::<u64>()), WORDS),
        selector in any::<u64>(),
    ) {
        let xen = xen(1);
        for (word, (pending, mask)) in words.into_iter().enumerate() {
            xen.pending[word].store(pending, SeqCst);
            xen.mask[word].store(mask, SeqCst);
        }
        xen.selectors[0].store(selector, SeqCst);
        let served = serve(&mut Scan::new(), &xen, 0);
        prop_assert!(served.iter().all(|port| *port < PORTS && selector & 1 << (port / 64) != 0));
        prop_assert_eq!(served.iter().collect::<BTreeSet<_>>().len(), served.len());
    }
}
