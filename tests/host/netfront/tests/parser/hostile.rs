// SPDX-License-Identifier: GPL-2.0

//! Slots with anything in them.

use crate::backend::{
    feed,
    frame, //
};
use proptest::prelude::*;
use pure_netfront::parser::{
    Frame,
    Parser,
    Step, //
};
use reference::Net;

/// A slot, which nearly makes sense or not at all; for the id that it is posted with.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Response {
        offset: u16,
        flags: u16,
        status: i16,
    },
    Extra {
        kind: u8,
        flags: u8,
    },
    Gso {
        kind: u8,
        flags: u8,
        size: u16,
    },
    Garbage {
        words: [u32; 2],
    },
}

impl Slot {
    fn words(self, id: u16) -> [u32; 2] {
        let net = Net::new();
        match self {
            Self::Response {
                offset,
                flags,
                status,
            } => net.rx_response(id, offset, flags, status),
            Self::Extra { kind, flags } => net.extra(kind, flags),
            Self::Gso { kind, flags, size } => net.gso(flags, kind, size, [0; 2]),
            // With the right id: the others are tried by themselves.
            Self::Garbage {
                words: [first, second],
            } => [first & 0xffff_0000 | u32::from(id), second],
        }
    }
}

fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![
        5 => (prop_oneof![Just(0), 0u16..5000, any::<u16>()], 0u16..32, prop_oneof![-3i16..4200, any::<i16>()])
            .prop_map(|(offset, flags, status)| Slot::Response { offset, flags, status }),
        1 => (0u8..8, 0u8..4).prop_map(|(kind, flags)| Slot::Extra { kind, flags }),
        1 => (0u8..4, 0u8..2, any::<u16>()).prop_map(|(kind, flags, size)| Slot::Gso { kind, flags, size }),
        1 => any::<[u32; 2]>().prop_map(|words| Slot::Garbage { words }),
    ]
}

/// What a front end has put together.
#[derive(Default)]
struct Assembly {
    parts: Vec<(u16, u16)>,
}

impl Assembly {
    /// Follows a step as netfront/rx.rs does; gives a good frame out.
    fn follow(&mut self, step: &Step) -> Result<Option<Frame>, TestCaseError> {
        if let Some((offset, length)) = step.data {
            prop_assert!(length > 0 && u32::from(offset) + u32::from(length) <= 4096);
            self.parts.push((offset, length));
            prop_assert!(self.parts.len() <= 18, "more parts than a frame has");
        }
        let Some(end) = step.end else {
            return Ok(None);
        };
        let parts = std::mem::take(&mut self.parts);
        if let Ok(frame) = end {
            let bytes: u32 = parts.iter().map(|(_, length)| u32::from(*length)).sum();
            prop_assert_eq!(frame.length, bytes);
            prop_assert!(bytes >= 14);
        }
        Ok(end.ok())
    }
}

proptest! {
    #[test]
    fn any_slots_give_frames_within_bounds(slots in prop::collection::vec(slot(), 1..400), start: u16) {
        let mut parser = Parser::default();
        let mut assembly = Assembly::default();
        for (number, slot) in slots.into_iter().enumerate() {
            let id = start.wrapping_add(number as u16);
            // The id is right, or it is an extra slot that was not announced.
            if let Ok(step) = parser.feed(slot.words(id), id) {
                assembly.follow(&step)?;
            }
        }
    }

    /// Slots with arbitrary ids: one is refused exactly where a response was due and the id is another.
    #[test]
    fn only_the_right_ids_are_taken(words in prop::collection::vec(any::<[u32; 2]>(), 1..40), id in 0u16..4) {
        let mut parser = Parser::default();
        let mut extra = false;
        let mut first = true;
        for [head, tail] in words {
            let words = [head & 0xffff_0003, tail];
            let result = parser.feed(words, id);
            if extra {
                prop_assert!(result.is_ok());
                extra = words[0] >> 8 & 1 != 0;
            } else {
                prop_assert_eq!(result.is_ok(), words[0] as u16 == id);
                if result.is_ok() {
                    extra = first && tail & 8 != 0;
                    first = false;
                }
            }
            if let Ok(Step { end: Some(_), .. }) = result {
                first = true;
            }
        }
    }

    /// Whatever a frame was like: once it has ended, the next one is as it was sent.
    #[test]
    fn a_good_frame_is_found_after_a_bad_one(slots in prop::collection::vec(slot(), 1..60), frame in frame()) {
        let mut parser = Parser::default();
        for slot in slots {
            let _ = parser.feed(slot.words(7), 7);
        }
        // What has begun is ended by the last of its extra slots, or by a response with the id 7 and nothing else
        // in it: the same words are both.
        let last = Net::new().extra(7, 0);
        let end = (0..2).find_map(|_| parser.feed(last, 7).expect("the right id").end);
        prop_assert!(end.is_some());
        let steps = feed(&mut parser, &frame.slots(0), 0).expect("the right ids");
        prop_assert_eq!(steps.last().and_then(|step| step.end), Some(Ok(frame.expected())));
    }

    /// A frame that never ends takes no room: what is given out of it stays within what a frame may have.
    #[test]
    fn an_endless_frame_is_bounded(lengths in prop::collection::vec(0i16..=4096, 300..2000)) {
        let net = Net::new();
        let (_, [_, _, more, _]) = net.flags();
        let mut parser = Parser::default();
        let mut assembly = Assembly::default();
        for length in lengths {
            let step = parser.feed(net.rx_response(0, 0, more, length), 0).expect("the right id");
            prop_assert_eq!(step.end, None);
            assembly.follow(&step)?;
        }
    }
}
