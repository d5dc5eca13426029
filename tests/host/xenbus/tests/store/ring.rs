// SPDX-License-Identifier: GPL-2.0

//! The indices of xenstore's ring, which start anywhere.

use proptest::prelude::*;
use pure_xenbus::store::ring::{
    Corrupt,
    Incoming,
    Outgoing,
    SIZE, //
};
use std::collections::VecDeque;

const STARTS: [u32; 6] = [0, 1, 1023, 1 << 31, u32::MAX, u32::MAX - 500];

#[test]
fn a_fresh_ring_has_room_and_no_data_wherever_it_starts() {
    for start in STARTS {
        let mut outgoing = Outgoing::attach(start, start).expect("in order");
        let room = outgoing
            .room(start, start)
            .expect("in order")
            .expect("room");
        assert_eq!(room.offset, (start % SIZE) as usize);
        assert_eq!(room.offset + room.length, SIZE as usize);
        let mut incoming = Incoming::attach(start, start).expect("in order");
        assert_eq!(incoming.data(start, start), Ok(None));
    }
}

#[test]
fn a_ring_that_was_used_before_is_gone_on_with() {
    for start in STARTS {
        let producer = start.wrapping_add(10);
        let mut incoming = Incoming::attach(start, producer).expect("in order");
        let data = incoming
            .data(start, producer)
            .expect("in order")
            .expect("data");
        assert_eq!(data.length, 10.min((SIZE - start % SIZE) as usize));
        let mut full = Outgoing::attach(start, start.wrapping_add(SIZE)).expect("in order");
        assert_eq!(full.room(start, start.wrapping_add(SIZE)), Ok(None));
    }
}

#[test]
fn what_a_former_connection_left_is_skipped() {
    for start in STARTS {
        for left in [0, 1, 700, SIZE] {
            let producer = start.wrapping_add(left);
            let mut incoming = Incoming::attach(start, producer).expect("in order");
            let consumer = incoming.skip();
            assert_eq!(consumer, producer);
            assert_eq!(incoming.data(consumer, producer), Ok(None));
            // What comes next is read from there on, and there is room for all of it.
            let end = producer.wrapping_add(SIZE);
            let next = incoming
                .data(consumer, end)
                .expect("in order")
                .expect("data");
            assert_eq!(next.offset, (producer % SIZE) as usize);
        }
    }
}

#[test]
fn a_ring_that_claims_more_than_it_holds_is_refused() {
    for start in STARTS {
        for more in [SIZE + 1, 1 << 31, u32::MAX] {
            assert!(
                Outgoing::attach(start, start.wrapping_add(more)).is_err(),
                "{start} {more}"
            );
            assert!(
                Incoming::attach(start, start.wrapping_add(more)).is_err(),
                "{start} {more}"
            );
        }
    }
}

#[test]
fn their_index_may_not_go_backwards_or_too_far() {
    for start in STARTS {
        let mut incoming = Incoming::attach(start, start.wrapping_add(100)).expect("in order");
        for claimed in [99, SIZE + 1, 0, 1 << 31] {
            let claimed = start.wrapping_add(claimed);
            let before = start.wrapping_add(100);
            assert_eq!(
                incoming.data(start, claimed),
                Err(Corrupt::Theirs { before, claimed })
            );
        }
        let mut outgoing = Outgoing::attach(start, start.wrapping_add(100)).expect("in order");
        let ours = start.wrapping_add(100);
        for claimed in [101u32, 0u32.wrapping_sub(1), 1 << 31] {
            let claimed = start.wrapping_add(claimed);
            assert_eq!(
                outgoing.room(claimed, ours),
                Err(Corrupt::Theirs {
                    before: start,
                    claimed
                })
            );
        }
        // What was refused has changed nothing.
        assert!(outgoing.room(ours, ours).is_ok());
    }
}

#[test]
fn our_own_index_must_be_what_we_wrote() {
    let mut incoming = Incoming::attach(5, 9).expect("in order");
    assert_eq!(
        incoming.data(6, 9),
        Err(Corrupt::Ours { wrote: 5, found: 6 })
    );
    let mut outgoing = Outgoing::attach(5, 9).expect("in order");
    // As where xenstored has wiped the ring behind our back.
    assert_eq!(
        outgoing.room(0, 0),
        Err(Corrupt::Ours { wrote: 9, found: 0 })
    );
}

#[test]
fn more_than_there_is_is_never_taken() {
    let mut incoming = Incoming::attach(5, 9).expect("in order");
    assert_eq!(incoming.read(1000), 9);
    let mut outgoing = Outgoing::attach(5, 9).expect("in order");
    assert_eq!(outgoing.wrote(usize::MAX), 5 + SIZE);
}

/// One direction, with both ends in order: bytes come out as they went in.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize),
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1usize..1500).prop_map(Step::Write),
        (1usize..1500).prop_map(Step::Read)
    ]
}

proptest! {
    #[test]
    fn bytes_come_out_as_they_went_in(start: u32, steps in prop::collection::vec(step(), 1..60)) {
        let mut buffer = vec![0u8; SIZE as usize];
        let mut outgoing = Outgoing::attach(start, start).expect("in order");
        let mut incoming = Incoming::attach(start, start).expect("in order");
        let (mut consumer, mut producer) = (start, start);
        let mut expected = VecDeque::new();
        let mut next = 0u8;
        for step in steps {
            match step {
                Step::Write(count) => {
                    if let Some(room) = outgoing.room(consumer, producer).expect("in order") {
                        let count = count.min(room.length);
                        for place in &mut buffer[room.offset..][..count] {
                            *place = next;
                            expected.push_back(next);
                            next = next.wrapping_add(1);
                        }
                        producer = outgoing.wrote(count);
                    }
                }
                Step::Read(count) => {
                    if let Some(data) = incoming.data(consumer, producer).expect("in order") {
                        let count = count.min(data.length);
                        for byte in &buffer[data.offset..][..count] {
                            prop_assert_eq!(Some(*byte), expected.pop_front());
                        }
                        consumer = incoming.read(count);
                    }
                }
            }
            prop_assert_eq!(producer.wrapping_sub(consumer) as usize, expected.len());
        }
    }

    /// Any numbers in the ring: a refusal, or a piece that lies within the buffer and is not longer than it can be.
    #[test]
    fn any_numbers_stay_within_the_buffer(numbers in prop::collection::vec(any::<u32>(), 4), near in 0u32..1200, claims in prop::collection::vec((any::<bool>(), any::<u32>()), 0..20)) {
        let start = numbers[0];
        let Ok(mut incoming) = Incoming::attach(start, start.wrapping_add(near)) else {
            prop_assert!(near > SIZE);
            return Ok(());
        };
        let mut consumer = start;
        for (close, claim) in claims {
            let claim = if close { consumer.wrapping_add(claim % 1500) } else { claim };
            if let Ok(Some(data)) = incoming.data(consumer, claim) {
                prop_assert!(data.length > 0 && data.offset + data.length <= SIZE as usize);
                prop_assert!(data.length as u32 <= claim.wrapping_sub(consumer));
                consumer = incoming.read(data.length);
            }
        }
    }
}
