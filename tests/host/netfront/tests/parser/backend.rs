// SPDX-License-Identifier: GPL-2.0

//! A back end that writes frames into receive slots, through the C structures.

use proptest::prelude::*;
use pure_netfront::{
    parser::{
        Frame,
        Mismatch,
        Parser,
        Step, //
    },
    wire::Segmentation, //
};
use reference::Net;

/// An extra slot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extra {
    Gso { kind: u8, size: u16 },
    Other(u8),
}

/// A frame as a back end sees it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Offset and length of each slot of payload.
    pub(crate) parts: Vec<(u16, u16)>,
    pub(crate) extras: Vec<Extra>,
    pub(crate) blank: bool,
    pub(crate) validated: bool,
}

impl Sent {
    /// A frame of one slot.
    pub(crate) fn plain(length: u16) -> Self {
        Self {
            parts: vec![(0, length)],
            extras: Vec::new(),
            blank: false,
            validated: false,
        }
    }

    /// The slots, posted with ids from `id` on.
    pub(crate) fn slots(&self, id: u16) -> Vec<[u32; 2]> {
        let net = Net::new();
        let (_, [blank, validated, more, extra]) = net.flags();
        let mut slots = Vec::new();
        for (number, (offset, length)) in self.parts.iter().enumerate() {
            let mut flags = 0;
            if number == 0 {
                flags |= if self.blank { blank } else { 0 };
                flags |= if self.validated { validated } else { 0 };
                flags |= if self.extras.is_empty() { 0 } else { extra };
            }
            if number + 1 < self.parts.len() {
                flags |= more;
            }
            let id = id.wrapping_add(slots.len() as u16);
            slots.push(net.rx_response(id, *offset, flags, *length as i16));
            if number == 0 {
                slots.extend(self.extra_slots(&net));
            }
        }
        slots
    }

    fn extra_slots(&self, net: &Net) -> Vec<[u32; 2]> {
        let [_, _, more, ..] = net.extras();
        let last = self.extras.len().wrapping_sub(1);
        let slot = |(number, extra): (usize, &Extra)| {
            let flags = if number < last { more } else { 0 };
            match *extra {
                Extra::Gso { kind, size } => net.gso(flags, kind, size, [0; 2]),
                Extra::Other(kind) => net.extra(kind, flags),
            }
        };
        self.extras.iter().enumerate().map(slot).collect()
    }

    /// What the front end is to make of it, if it is a good frame.
    pub(crate) fn expected(&self) -> Frame {
        let [.., v4, v6] = Net::new().extras();
        Frame {
            validated: self.validated,
            blank: self.blank,
            segmentation: self.extras.iter().find_map(|extra| match *extra {
                Extra::Gso { kind, size } if kind == v4 => Some(Segmentation::TcpV4(size)),
                Extra::Gso { kind, size } if kind == v6 => Some(Segmentation::TcpV6(size)),
                _ => None,
            }),
            length: self
                .parts
                .iter()
                .map(|(_, length)| u32::from(*length))
                .sum(),
        }
    }
}

/// Payload that lies in a page.
fn part() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![
        (0u16..=4096).prop_flat_map(|length| (0..=4096 - length, Just(length))),
        Just((0, 4096)),
        Just((0, 0)),
    ]
}

/// Extra slots as the protocol allows: of each type one at the most, in any order.
fn extras() -> impl Strategy<Value = Vec<Extra>> {
    let gso = (1u8..=2, 1u16..).prop_map(|(kind, size)| Extra::Gso { kind, size });
    let others = prop::sample::subsequence(vec![2u8, 3, 4, 5], 0..=4);
    (prop::option::of(gso), others)
        .prop_map(|(gso, others)| {
            gso.into_iter()
                .chain(others.into_iter().map(Extra::Other))
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

/// A frame that a backend may send.
pub(crate) fn frame() -> impl Strategy<Value = Sent> {
    let long_enough = |parts: &Vec<(u16, u16)>| {
        parts
            .iter()
            .map(|(_, length)| u32::from(*length))
            .sum::<u32>()
            >= 14
    };
    let parts =
        prop::collection::vec(part(), 1..=18).prop_filter("an Ethernet header", long_enough);
    (parts, extras(), any::<bool>(), any::<bool>()).prop_map(|(parts, extras, blank, validated)| {
        Sent {
            parts,
            extras,
            blank,
            validated,
        }
    })
}

/// Feeds slots that are posted with ids from `id` on; returns each step.
pub(crate) fn feed(
    parser: &mut Parser,
    slots: &[[u32; 2]],
    id: u16,
) -> Result<Vec<Step>, Mismatch> {
    slots
        .iter()
        .enumerate()
        .map(|(number, words)| parser.feed(*words, id.wrapping_add(number as u16)))
        .collect()
}
