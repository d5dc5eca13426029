// SPDX-License-Identifier: GPL-2.0

//! Which implementation serves a machine: the whole table.

use pure_xenbus::decision::{
    decide,
    Guest,
    Mode,
    Observed,
    Refusal, //
};

const GUESTS: [Guest; 3] = [Guest::Pv, Guest::Pvh, Guest::Hvm];

fn observed(under_xen: bool, core: Option<Guest>, core_compiled: bool) -> Observed {
    Observed {
        under_xen,
        core,
        core_compiled,
    }
}

#[test]
fn an_active_core_is_used_whatever_else_is_seen() {
    for guest in GUESTS {
        // A PV guest does not see Xen in CPUID without help.
        for under_xen in [false, true] {
            for core_compiled in [false, true] {
                let observed = observed(under_xen, Some(guest), core_compiled);
                assert_eq!(decide(observed), Ok(Mode::Hosted(guest)), "{observed:?}");
            }
        }
    }
}

#[test]
fn without_a_core_the_reason_says_which_is_missing() {
    for (under_xen, core_compiled, refusal) in [
        (false, false, Refusal::NotOnXen),
        (false, true, Refusal::NotOnXen),
        (true, true, Refusal::CoreOff),
        (true, false, Refusal::CoreAbsent),
    ] {
        let observed = observed(under_xen, None, core_compiled);
        assert_eq!(decide(observed), Err(refusal), "{observed:?}");
    }
}

#[test]
fn reasons_name_what_the_user_can_look_for() {
    for (refusal, words) in [
        (Refusal::NotOnXen, &["not", "Xen"][..]),
        (Refusal::CoreOff, &["Xen", "nopv", "native"]),
        (Refusal::CoreAbsent, &["Xen", "CONFIG_XEN", "native"]),
    ] {
        let reason = refusal.reason();
        for word in words {
            assert!(reason.contains(word), "{refusal:?}: {reason:?}: {word:?}");
        }
        // One line of the log.
        assert!(
            !reason.contains('\n') && !reason.contains("  "),
            "{reason:?}"
        );
    }
}

#[test]
fn guests_have_their_usual_names() {
    assert_eq!(GUESTS.map(Guest::name), ["PV", "PVH", "HVM"]);
}
