// SPDX-License-Identifier: GPL-2.0

//! Faults of a suspend that are asked for, in text: pure, tested on the build machine.

use crate::phases::Phase;
use core::num::NonZeroU32;

/// What is to fail in a phase, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The phase, before it has done anything.
    Phase,
    /// Of the hypercalls that the phase makes, the one of this number; the first is 1.
    Hypercall(NonZeroU32),
}

impl Fault {
    /// The number of [`Self::Phase`]; that of a hypercall is its own, and 0 is for no fault.
    const PHASE: u32 = u32::MAX;

    /// As one number.
    pub const fn number(self) -> u32 {
        match self {
            Self::Phase => Self::PHASE,
            Self::Hypercall(number) => number.get(),
        }
    }

    /// From what [`Self::number`] has made of it; [`None`] from 0.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            Self::PHASE => Some(Self::Phase),
            number => NonZeroU32::new(number).map(Self::Hypercall),
        }
    }

    /// From a word: the name of a phase, or `grants/2` for the second hypercall of the phase `grants`. Only those phases
    /// have hypercalls that can be told from others', in which nothing else runs.
    pub fn parse(word: &[u8]) -> Option<(Phase, Self)> {
        let mut parts = word.splitn(2, |&byte| byte == b'/');
        let phase = Phase::from_name(parts.next()?)?;
        let Some(number) = parts.next() else {
            return Some((phase, Self::Phase));
        };
        let number: NonZeroU32 = core::str::from_utf8(number).ok()?.parse().ok()?;
        if !phase.makes_hypercalls() || number.get() == Self::PHASE {
            return None;
        }
        Some((phase, Self::Hypercall(number)))
    }
}
