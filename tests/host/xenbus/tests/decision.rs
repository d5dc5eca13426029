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

fn observed(under_xen: bool, core: Option<Guest>, platform_device: bool) -> Observed {
    Observed {
        under_xen,
        core,
        platform_device,
    }
}

#[test]
fn an_active_core_is_used_whatever_else_is_seen() {
    for guest in GUESTS {
        // A PV guest does not see Xen in CPUID without help.
        for under_xen in [false, true] {
            for platform_device in [false, true] {
                let observed = observed(under_xen, Some(guest), platform_device);
                assert_eq!(decide(observed), Ok(Mode::Hosted(guest)), "{observed:?}");
            }
        }
    }
}

#[test]
fn without_a_core_we_drive_xen_ourselves_where_there_is_a_way_in() {
    for (under_xen, platform_device, decision) in [
        (false, false, Err(Refusal::NotOnXen)),
        // Another hypervisor's imitation of the device.
        (false, true, Err(Refusal::NotOnXen)),
        (true, false, Err(Refusal::NoPlatformDevice)),
        (true, true, Ok(Mode::Native)),
    ] {
        let observed = observed(under_xen, None, platform_device);
        assert_eq!(decide(observed), decision, "{observed:?}");
    }
}

#[test]
fn reasons_name_what_the_user_can_look_for() {
    for (refusal, words) in [
        (Refusal::NotOnXen, &["not", "Xen"][..]),
        (
            Refusal::NoPlatformDevice,
            &["Xen", "5853:0001", "xen_platform_pci", "PVH", "nopv"],
        ),
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
