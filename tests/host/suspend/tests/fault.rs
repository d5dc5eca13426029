// SPDX-License-Identifier: GPL-2.0

//! The text of faults that are asked for.

use proptest::prelude::*;
use pure_suspend::{
    fault::Fault,
    phases::Phase, //
};
use std::num::NonZeroU32;

fn hypercall(number: u32) -> Fault {
    Fault::Hypercall(NonZeroU32::new(number).unwrap())
}

#[test]
fn each_phase_fails_by_its_name() {
    for phase in Phase::ALL {
        let parsed = Fault::parse(phase.name().as_bytes());
        assert_eq!(parsed, Some((phase, Fault::Phase)));
    }
}

#[test]
fn hypercalls_fail_where_nothing_else_makes_some() {
    for phase in Phase::ALL {
        let word = format!("{}/3", phase.name());
        let parsed = Fault::parse(word.as_bytes());
        let expected = phase.makes_hypercalls().then(|| (phase, hypercall(3)));
        assert_eq!(parsed, expected, "{word}");
    }
    assert!(Phase::Grants.makes_hypercalls());
    assert!(!Phase::Park.makes_hypercalls());
}

#[test]
fn other_text_is_refused() {
    let most = format!("grants/{}", u32::MAX);
    for word in [
        "",
        "/",
        "/1",
        "grant",
        "grants/",
        "grants/0",
        "grants/-1",
        "grants/1/1",
        "grants/x",
        &most,
        "grants/99999999999",
    ] {
        assert_eq!(Fault::parse(word.as_bytes()), None, "{word}");
    }
    assert_eq!(Fault::parse(b"grants/\xff"), None);
}

#[test]
fn no_fault_is_0() {
    assert_eq!(Fault::from_number(0), None);
    assert_eq!(
        Fault::from_number(Fault::Phase.number()),
        Some(Fault::Phase)
    );
}

proptest! {
    #[test]
    fn a_number_is_what_it_was_made_of(number in 1..u32::MAX) {
        prop_assert_eq!(Fault::from_number(hypercall(number).number()), Some(hypercall(number)));
    }

    #[test]
    fn no_text_is_too_much(text: Vec<u8>) {
        if let Some((_, fault)) = Fault::parse(&text) {
            prop_assert_ne!(fault.number(), 0);
        }
    }
}
