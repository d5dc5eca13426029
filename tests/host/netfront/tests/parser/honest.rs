// SPDX-License-Identifier: GPL-2.0

//! Frames as the protocol allows them.

use crate::backend::{
    feed,
    frame,
    Sent, //
};
use proptest::prelude::*;
use pure_netfront::parser::{
    Parser,
    Step, //
};

#[test]
fn the_shortest_frame() {
    let steps = feed(&mut Parser::default(), &Sent::plain(14).slots(0), 0);
    let expected = Step {
        data: Some((0, 14)),
        end: Some(Ok(Sent::plain(14).expected())),
    };
    assert_eq!(steps, Ok(vec![expected]));
}

#[test]
fn the_largest_frame() {
    let frame = Sent {
        parts: vec![(0, 4096); 18],
        ..Sent::plain(0)
    };
    let steps = feed(&mut Parser::default(), &frame.slots(0), 0).expect("the right ids");
    assert!(steps.iter().all(|step| step.data == Some((0, 4096))));
    assert_eq!(steps[17].end, Some(Ok(frame.expected())));
}

proptest! {
    /// Frame after frame: each payload is given out once and in order, and each frame ends with its last slot.
    #[test]
    fn frames_arrive_as_they_were_sent(frames in prop::collection::vec(frame(), 1..8), start: u16) {
        let mut parser = Parser::default();
        let mut id = start;
        for frame in frames {
            let slots = frame.slots(id);
            let steps = feed(&mut parser, &slots, id).expect("the right ids");
            let data: Vec<_> = steps.iter().filter_map(|step| step.data).collect();
            let sent: Vec<_> = frame.parts.iter().copied().filter(|(_, length)| *length > 0).collect();
            prop_assert_eq!(data, sent);
            let (last, before) = steps.split_last().expect("a slot");
            prop_assert!(before.iter().all(|step| step.end.is_none()));
            prop_assert_eq!(last.end, Some(Ok(frame.expected())));
            prop_assert_eq!(parser, Parser::default());
            id = id.wrapping_add(slots.len() as u16);
        }
    }
}
