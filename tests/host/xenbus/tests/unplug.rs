// SPDX-License-Identifier: GPL-2.0

//! Which emulated devices are unplugged, and which disks are then left alone.

use proptest::prelude::*;
use pure_xenbus::unplug::{
    is_emulated,
    Fate,
    Kind,
    Request,
    Use,
    IDE_DISKS,
    SATA_DISKS, //
};

const USES: [Use; 4] = [Use::Absent, Use::Unbound, Use::Idle, Use::InUse];
const EXTENDED: u32 = 1 << 28;

/// The number of xvda, xvdb, ...
fn xvd(index: u32) -> u32 {
    if index < 16 {
        202 << 8 | index << 4
    } else {
        EXTENDED | index << 8
    }
}

#[test]
fn the_bits_are_those_of_the_protocol() {
    assert_eq!(Kind::ALL.map(Kind::bit), [1, 2, 8]);
}

#[test]
fn the_parameter_is_a_word_or_a_list() {
    for (text, request) in [
        ("auto", Some(Request::Auto)),
        ("never", Some(Request::Never)),
        ("unnecessary", Some(Request::Unnecessary)),
        ("all", Some(Request::These(11))),
        ("disks", Some(Request::These(1))),
        ("nics,disks", Some(Request::These(3))),
        ("nvme,nvme", Some(Request::These(8))),
        ("", None),
        ("disks,", None),
        ("Disks", None),
        ("disks nics", None),
        ("auto,disks", None),
    ] {
        assert_eq!(Request::parse(text.as_bytes()), request, "{text:?}");
    }
}

#[test]
fn by_default_only_what_no_driver_has_taken_goes() {
    for kind in Kind::ALL {
        assert_eq!(
            USES.map(|found| Fate::of(Request::Auto, kind, found)),
            [Fate::Absent, Fate::Unplugged, Fate::Kept, Fate::Kept]
        );
    }
}

#[test]
fn what_is_in_use_stays_whatever_is_asked_for() {
    for kind in Kind::ALL {
        let all = Request::These(11);
        assert_eq!(
            USES.map(|found| Fate::of(all, kind, found)),
            [
                Fate::Absent,
                Fate::Unplugged,
                Fate::Unplugged,
                Fate::Refused
            ]
        );
        let others = Request::These(11 & !kind.bit());
        assert_eq!(
            USES.map(|found| Fate::of(others, kind, found)),
            [Fate::Absent, Fate::Kept, Fate::Kept, Fate::Kept]
        );
    }
}

#[test]
fn a_restore_unplugs_what_is_not_there_and_nothing_else() {
    for kind in Kind::ALL {
        for (request, expected) in [
            // The second load of the module finds nothing any more of what the first one has unplugged.
            (Request::Auto, [true, true, false, false]),
            (Request::These(11), [true, true, true, false]),
            (Request::These(11 & !kind.bit()), [false; 4]),
            (Request::Never, [false; 4]),
            (Request::Unnecessary, [false; 4]),
        ] {
            assert_eq!(
                USES.map(|found| Fate::of(request, kind, found).is_replayed(request, kind)),
                expected,
                "{request:?} {kind:?}"
            );
        }
    }
}

#[test]
fn twins_are_left_alone_exactly_where_the_emulated_devices_stay() {
    let requests = [
        Request::Auto,
        Request::Never,
        Request::Unnecessary,
        Request::These(1),
        Request::These(11),
    ];
    for request in requests {
        for kind in Kind::ALL {
            for found in USES {
                let fate = Fate::of(request, kind, found);
                let stays = found != Use::Absent && fate != Fate::Unplugged;
                assert_eq!(
                    fate.keeps_twins_away(),
                    stays && request != Request::Unnecessary,
                    "{request:?} {kind:?} {found:?}"
                );
            }
        }
    }
}

#[test]
fn the_first_disks_and_all_ide_and_scsi_numbers_are_emulated() {
    for limit in [0, IDE_DISKS, SATA_DISKS] {
        for index in 0..40 {
            assert_eq!(is_emulated(xvd(index), limit), index < limit, "xvd {index}");
        }
        // hda, hdd, sdb.
        for number in [3 << 8, 22 << 8 | 64, 8 << 8 | 16] {
            assert!(is_emulated(number, limit), "{number:#x}");
        }
    }
    // Partitions that stand for disks, xvda1 and xvde1.
    assert!(is_emulated(xvd(0) | 1, IDE_DISKS));
    assert!(!is_emulated(xvd(4) | 1, IDE_DISKS));
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = Request::parse(&text);
    }

    #[test]
    fn more_emulated_disks_are_never_fewer(number in any::<u32>(), fewer in 0u32..10, others in 0u32..10) {
        prop_assert!(!is_emulated(number, fewer) || is_emulated(number, fewer + others));
    }
}
