// SPDX-License-Identifier: GPL-2.0

//! Names and minors of virtual disks: xen-vbd-interface(7), and the C driver, whose own code answers here too.

use proptest::prelude::*;
use pure_blkfront::naming::{
    BadNumber,
    Place,
    MAJOR, //
};

const EXTENDED: u32 = 1 << 28;

/// The name as text.
fn name(place: &Place) -> String {
    let bytes = place.name();
    let length = bytes.iter().position(|byte| *byte == 0).expect("a NUL");
    assert!(bytes[length..].iter().all(|byte| *byte == 0), "{bytes:?}");
    String::from_utf8(bytes[..length].to_vec()).expect("ASCII")
}

/// Our place, in the C driver's terms.
fn ours(number: u32) -> Option<reference::Place> {
    let place = Place::of(number).ok()?;
    Some(reference::Place {
        minor: place.minor,
        minors: place.minors,
        index: place.index,
        name: name(&place),
    })
}

/// The name of disk `index`, 0 for the first, counted as columns of a spreadsheet are.
fn letters(index: u32) -> String {
    let mut left = index + 1;
    let mut letters = Vec::new();
    while left > 0 {
        left -= 1;
        letters.push(b'a' + (left % 26) as u8);
        left /= 26;
    }
    letters.reverse();
    String::from_utf8(letters).expect("ASCII")
}

/// The number that xen-vbd-interface(7) gives to a disk and partition.
fn number(disk: u32, partition: u32) -> u32 {
    if disk < 16 && partition < 16 {
        MAJOR << 8 | disk << 4 | partition
    } else {
        EXTENDED | disk << 8 | partition
    }
}

#[test]
fn numbers_of_the_manual_page() {
    for (number, name, minor, minors) in [
        // Whole disks and partitions of the first 16.
        (51712, "xvda", 0, 16),
        (51713, "xvda1", 1, 1),
        (51727, "xvda15", 15, 1),
        (51728, "xvdb", 16, 16),
        (51952, "xvdp", 240, 16),
        (51967, "xvdp15", 255, 1),
        // The extended scheme: more disks, more partitions.
        (EXTENDED | 16 << 8, "xvdq", 4096, 256),
        (EXTENDED | 16, "xvda16", 16, 1),
        (EXTENDED | 255, "xvda255", 255, 1),
        (EXTENDED | 25 << 8, "xvdz", 6400, 256),
        (EXTENDED | 26 << 8, "xvdaa", 6656, 256),
        (EXTENDED | 27 << 8 | 3, "xvdab3", 6915, 1),
        (EXTENDED | 701 << 8, "xvdzz", 701 << 8, 256),
        (EXTENDED | 702 << 8, "xvdaaa", 702 << 8, 256),
        (EXTENDED | 4095 << 8 | 255, "xvdfan255", (1 << 20) - 1, 1),
        // hda ... hdd: the disk itself, also for its partitions.
        (3 << 8, "xvda", 0, 16),
        (3 << 8 | 1, "xvda", 0, 16),
        (3 << 8 | 64, "xvdb", 16, 16),
        (22 << 8, "xvdc", 32, 16),
        (22 << 8 | 64, "xvdd", 48, 16),
        // sda, sda1, sdp, sdq.
        (8 << 8, "xvda", 0, 16),
        (8 << 8 | 1, "xvda1", 1, 1),
        (8 << 8 | 240, "xvdp", 240, 16),
        (65 << 8, "xvdq", 256, 16),
        (71 << 8 | 240, "xvddx", 2032, 16),
        (128 << 8, "xvddy", 2048, 16),
        (135 << 8 | 255, "xvdiv15", 4095, 1),
    ] {
        let place = Place::of(number).unwrap_or_else(|bad| panic!("{bad:?}"));
        assert_eq!(crate::name(&place), name, "{number:#x}");
        assert_eq!((place.minor, place.minors), (minor, minors), "{number:#x}");
    }
}

#[test]
fn numbers_without_a_disk() {
    for number in [
        0,
        1,
        // Majors that are no virtual disk's, among them the later IDE ones, which the C driver does not know either.
        1 << 8,
        33 << 8,
        72 << 8,
        136 << 8,
        (MAJOR - 1) << 8,
        (MAJOR + 1) << 8,
        (MAJOR | 1 << 12) << 8,
        // Beyond the extended range.
        EXTENDED | 4096 << 8,
        EXTENDED | 1 << 27,
        1 << 29,
        1 << 29 | MAJOR << 8,
        EXTENDED | 1 << 29,
        1 << 31 | MAJOR << 8,
        1 << 31 | EXTENDED,
        u32::MAX,
    ] {
        assert_eq!(Place::of(number), Err(BadNumber(number)), "{number:#x}");
        assert_eq!(reference::place(number), None, "{number:#x}");
    }
}

#[test]
fn every_number_of_the_classic_schemes_as_in_the_c_driver() {
    let mut disks = 0;
    for number in 0..1 << 16 {
        assert_eq!(ours(number), reference::place(number), "{number:#x}");
        disks += u32::from(ours(number).is_some());
    }
    // xvd, two IDE and 16 SCSI majors.
    assert_eq!(disks, 19 * 256);
}

#[test]
fn every_number_of_the_extended_scheme_as_in_the_c_driver() {
    for number in EXTENDED..EXTENDED + (1 << 20) + 5000 {
        assert_eq!(ours(number), reference::place(number), "{number:#x}");
    }
}

#[test]
fn disks_have_names_and_minors_of_their_own() {
    let mut seen = std::collections::BTreeMap::new();
    for disk in 0..4096 {
        let place = Place::of(number(disk, 0)).expect("a disk");
        assert_eq!(name(&place), format!("xvd{}", letters(disk)));
        assert_eq!(seen.insert(name(&place), disk), None);
    }
}

proptest! {
    #[test]
    fn any_number_as_in_the_c_driver(number: u32) {
        prop_assert_eq!(ours(number), reference::place(number));
    }

    /// Names give the number back that they were made from.
    #[test]
    fn disk_and_partition_are_found_again(disk in 0u32..4096, partition in 0u32..256) {
        let place = Place::of(number(disk, partition)).expect("a disk");
        prop_assert_eq!((place.index, place.partition), (disk, partition));
        let suffix = if partition == 0 { String::new() } else { partition.to_string() };
        prop_assert_eq!(name(&place), format!("xvd{}{suffix}", letters(disk)));
    }

    #[test]
    fn minors_stay_within_what_linux_has(number: u32) {
        if let Ok(place) = Place::of(number) {
            prop_assert!(place.minor < 1 << 20);
            prop_assert!([1, 16, 256].contains(&place.minors));
            prop_assert_eq!(place.minors == 1, place.partition != 0);
            prop_assert!(u64::from(place.minor) + u64::from(place.minors) <= 1 << 20);
        }
    }
}
