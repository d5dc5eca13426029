// SPDX-License-Identifier: GPL-2.0

//! Each thing that can be wrong with a frame: it is refused for that reason at its end, and the next one is found.

use crate::backend::{
    feed,
    Extra,
    Sent, //
};
use pure_netfront::parser::{
    Fault,
    Mismatch,
    Parser, //
};
use reference::Net;

/// What comes of a frame, after which a good one is found again.
fn outcome(slots: &[[u32; 2]]) -> Option<Fault> {
    let mut parser = Parser::default();
    let steps = feed(&mut parser, slots, 0).expect("the right ids");
    let (last, before) = steps.split_last().expect("a slot");
    assert!(before.iter().all(|step| step.end.is_none()), "{steps:?}");
    let end = last.end.expect("the end of the frame");

    let next = Sent::plain(60);
    let steps = feed(&mut parser, &next.slots(0), 0).expect("the right ids");
    assert_eq!(steps[0].end, Some(Ok(next.expected())));
    end.err()
}

/// A frame of these parts.
fn parts(parts: &[(u16, u16)]) -> Vec<[u32; 2]> {
    Sent {
        parts: parts.to_vec(),
        ..Sent::plain(0)
    }
    .slots(0)
}

/// A frame with these extra slots.
fn extras(extras: &[Extra]) -> Vec<[u32; 2]> {
    Sent {
        extras: extras.to_vec(),
        ..Sent::plain(60)
    }
    .slots(0)
}

#[test]
fn a_status_below_zero() {
    let net = Net::new();
    for status in [-1, -2, -3, i16::MIN] {
        assert_eq!(
            outcome(&[net.rx_response(0, 0, 0, status)]),
            Some(Fault::Status)
        );
    }
    // In a later slot as well.
    let (_, [_, _, more, _]) = net.flags();
    let slots = [
        net.rx_response(0, 0, more, 100),
        net.rx_response(1, 0, more, -1),
        net.rx_response(2, 0, 0, 100),
    ];
    assert_eq!(outcome(&slots), Some(Fault::Status));
}

#[test]
fn payload_that_leaves_its_page() {
    for (offset, length) in [
        (0, 4097),
        (1, 4096),
        (4096, 1),
        (4082, 15),
        (u16::MAX, 1),
        (u16::MAX, 32767),
    ] {
        assert_eq!(
            outcome(&parts(&[(offset, length)])),
            Some(Fault::Bounds),
            "{offset} {length}"
        );
        assert_eq!(
            outcome(&parts(&[(0, 60), (offset, length)])),
            Some(Fault::Bounds),
            "{offset} {length}"
        );
    }
    for (offset, length) in [(0, 4096), (1, 4095), (4082, 14)] {
        assert_eq!(
            outcome(&parts(&[(offset, length)])),
            None,
            "{offset} {length}"
        );
    }
}

#[test]
fn payload_after_a_fault_is_not_given_out() {
    let mut parser = Parser::default();
    let slots = parts(&[(0, 100), (4000, 100), (0, 100)]);
    let steps = feed(&mut parser, &slots, 0).expect("the right ids");
    let data: Vec<_> = steps.iter().map(|step| step.data).collect();
    assert_eq!(data, [Some((0, 100)), None, None]);
}

#[test]
fn too_many_slots() {
    assert_eq!(outcome(&parts(&[(0, 100); 18])), None);
    for count in [19, 20, 256, 1000] {
        assert_eq!(
            outcome(&parts(&vec![(0, 100); count])),
            Some(Fault::Slots),
            "{count}"
        );
        // Also where they are empty.
        assert_eq!(
            outcome(&parts(&vec![(0, 0); count])),
            Some(Fault::Slots),
            "{count}"
        );
    }
}

#[test]
fn less_than_an_ethernet_header() {
    for slots in [
        &[(0, 0)][..],
        &[(0, 13)],
        &[(0, 6), (0, 7)],
        &[(0, 0), (0, 0)],
    ] {
        assert_eq!(outcome(&parts(slots)), Some(Fault::Short), "{slots:?}");
    }
    assert_eq!(outcome(&parts(&[(0, 7), (0, 7)])), None);
}

#[test]
fn extra_slots_that_make_no_sense() {
    let gso = |kind, size| Extra::Gso { kind, size };
    for slots in [
        // No such types.
        &[Extra::Other(0)][..],
        &[Extra::Other(6)],
        &[Extra::Other(255)],
        &[Extra::Other(4), Extra::Other(6)],
        // Segmentation of nothing, into nothing, twice.
        &[gso(0, 1448)],
        &[gso(3, 1448)],
        &[gso(1, 0)],
        &[gso(1, 1448), gso(1, 1448)],
        &[gso(1, 0), gso(1, 1448)],
        // More than there are types.
        &[Extra::Other(4); 6],
        &[Extra::Other(4); 300],
    ] {
        assert_eq!(outcome(&extras(slots)), Some(Fault::Extra), "{slots:?}");
    }
    assert_eq!(outcome(&extras(&[Extra::Other(4), gso(2, 1)])), None);
}

#[test]
fn extra_slots_are_announced_by_the_first_response_only() {
    let net = Net::new();
    let (_, [_, _, more, extra]) = net.flags();
    let slots = [
        net.rx_response(0, 0, more, 100),
        net.rx_response(1, 0, extra, 100),
    ];
    assert_eq!(outcome(&slots), Some(Fault::Extra));
}

#[test]
fn the_first_fault_counts() {
    let net = Net::new();
    let (_, [_, _, more, _]) = net.flags();
    let slots = [
        net.rx_response(0, 4000, more, 200),
        net.rx_response(1, 0, 0, -1),
    ];
    assert_eq!(outcome(&slots), Some(Fault::Bounds));
    assert_eq!(
        outcome(&[net.rx_response(0, 0, 0, -1)]),
        Some(Fault::Status)
    );
}

#[test]
fn a_response_to_another_request_is_not_taken() {
    let net = Net::new();
    let mut parser = Parser::default();
    for id in [0, 2, 257, u16::MAX] {
        assert_eq!(parser.feed(net.rx_response(id, 0, 0, 60), 1), Err(Mismatch));
        assert_eq!(parser, Parser::default());
    }
    let (_, [_, _, more, _]) = net.flags();
    assert!(parser.feed(net.rx_response(1, 0, more, 60), 1).is_ok());
    assert_eq!(parser.feed(net.rx_response(1, 0, 0, 60), 2), Err(Mismatch));
}

#[test]
fn an_extra_slot_has_no_id() {
    // Type and flags lie where a response has its id.
    let mut parser = Parser::default();
    let slots = extras(&[Extra::Gso {
        kind: 1,
        size: 1448,
    }]);
    assert!(parser.feed(slots[0], 0).is_ok());
    let step = parser.feed(slots[1], 0x1234).expect("no id to compare");
    assert!(matches!(step.end, Some(Ok(_))), "{step:?}");
}
