// SPDX-License-Identifier: GPL-2.0

//! What comes of a backend's offers.

use proptest::prelude::*;
use pure_blkfront::negotiate::{
    negotiate,
    Discard,
    Flush,
    Negotiated,
    Offers,
    Refused,
    DIRECT_SEGMENTS,
    INDIRECT_SEGMENTS_PER_PAGE, //
};
use reference::Block;

/// The least that a backend must offer.
fn plain() -> Offers {
    Offers {
        sectors: Some(2048),
        ..Offers::default()
    }
}

/// What comes of offers that only differ from the least in some respect.
fn settled(change: impl FnOnce(&mut Offers)) -> Result<Negotiated, Refused> {
    let mut offers = plain();
    change(&mut offers);
    negotiate(&offers, 32)
}

#[test]
fn the_least_offer_is_a_plain_disk() {
    let expected = Negotiated {
        sectors: 2048,
        sector_size: 512,
        physical_sector_size: 512,
        read_only: false,
        removable: false,
        flush: Flush::None,
        discard: None,
        max_segments: 11,
    };
    assert_eq!(negotiate(&plain(), 32), Ok(expected));
    assert!(!expected.indirect());
}

#[test]
fn sectors_that_are_refused() {
    for sectors in [
        None,
        Some(0),
        Some(u64::MAX),
        Some(1 << 63),
        // One more byte than the largest file offset.
        Some(1 << 54),
    ] {
        let refused = settled(|offers| offers.sectors = sectors);
        assert_eq!(refused, Err(Refused::Sectors), "{sectors:?}");
    }
    let largest = settled(|offers| offers.sectors = Some((1 << 54) - 1));
    assert_eq!(largest.map(|disk| disk.sectors), Ok((1 << 54) - 1));
}

#[test]
fn a_size_of_no_whole_blocks_is_refused() {
    for (sector_size, sectors, good) in [
        (4096, 8, true),
        (4096, 7, false),
        (4096, 9, false),
        (1024, 3, false),
        (512, 3, true),
    ] {
        let result = settled(|offers| {
            offers.sectors = Some(sectors);
            offers.sector_size = Some(sector_size);
        });
        assert_eq!(
            result.is_ok(),
            good,
            "{sectors} sectors, blocks of {sector_size}"
        );
        assert!(good || result == Err(Refused::Sectors));
    }
}

#[test]
fn sector_sizes() {
    for size in [512, 1024, 2048, 4096] {
        let result = settled(|offers| offers.sector_size = Some(size)).expect("a good size");
        assert_eq!(u64::from(result.sector_size), size);
        // Without a node of its own.
        assert_eq!(u64::from(result.physical_sector_size), size);
    }
    for size in [
        0,
        1,
        256,
        511,
        513,
        1536,
        4095,
        8192,
        1 << 31,
        1 << 32,
        512 + (1 << 32),
        u64::MAX,
    ] {
        let refused = settled(|offers| offers.sector_size = Some(size));
        assert_eq!(refused, Err(Refused::SectorSize), "{size}");
    }
}

#[test]
fn physical_sector_sizes() {
    for size in [4096, 8192, 1 << 20] {
        let result = settled(|offers| {
            offers.sector_size = Some(4096);
            offers.physical_sector_size = Some(size);
        });
        assert_eq!(
            result.map(|disk| u64::from(disk.physical_sector_size)),
            Ok(size)
        );
    }
    for size in [
        0,
        512,
        2048,
        4097,
        6144,
        1 << 31,
        1 << 32,
        4096 + (1 << 32),
        u64::MAX,
    ] {
        let refused = settled(|offers| {
            offers.sector_size = Some(4096);
            offers.physical_sector_size = Some(size);
        });
        assert_eq!(refused, Err(Refused::PhysicalSectorSize), "{size}");
    }
}

#[test]
fn refusals_name_the_node() {
    assert_eq!(Refused::Sectors.node(), "sectors");
    assert_eq!(Refused::SectorSize.node(), "sector-size");
    assert_eq!(Refused::PhysicalSectorSize.node(), "physical-sector-size");
}

#[test]
fn kinds_of_disks() {
    let [cdrom, removable, read_only] = Block::new().info_flags().map(u64::from);
    for (info, expected) in [
        (None, (false, false)),
        (Some(0), (false, false)),
        (Some(read_only), (true, false)),
        (Some(removable), (false, true)),
        (Some(cdrom), (true, true)),
        (Some(cdrom | removable | read_only), (true, true)),
        // Bits that the protocol does not have.
        (Some(!(cdrom | removable | read_only)), (false, false)),
    ] {
        let disk = settled(|offers| offers.info = info).expect("a disk");
        assert_eq!((disk.read_only, disk.removable), expected, "{info:?}");
    }
}

#[test]
fn flushes_are_preferred_to_barriers() {
    for (flush, barrier, expected) in [
        (false, false, Flush::None),
        (false, true, Flush::Barrier),
        (true, false, Flush::Cache),
        (true, true, Flush::Cache),
    ] {
        let disk = settled(|offers| (offers.flush, offers.barrier) = (flush, barrier));
        assert_eq!(disk.map(|disk| disk.flush), Ok(expected));
    }
}

#[test]
fn segments_are_what_both_ends_can_do() {
    for (offered, wanted, expected) in [
        (None, 32, 11),
        (Some(0), 32, 11),
        (Some(10), 32, 11),
        (Some(11), 32, 11),
        (Some(12), 32, 12),
        (Some(256), 32, 32),
        (Some(256), 512, 256),
        (Some(256), 0, 11),
        (Some(256), 5, 11),
        // One indirect page.
        (Some(4096), 4096, 512),
        (Some(u64::MAX), u32::MAX, 512),
        // Not what is left of it in 32 bits.
        (Some(1 << 32), 64, 64),
    ] {
        let offers = Offers {
            indirect_segments: offered,
            ..plain()
        };
        let disk = negotiate(&offers, wanted).expect("a disk");
        assert_eq!(
            disk.max_segments, expected,
            "{offered:?} offered, {wanted} wanted"
        );
        assert_eq!(disk.indirect(), expected > 11);
    }
}

#[test]
fn discards() {
    let discard = |granularity, alignment, secure_erase| {
        let disk = settled(|offers| {
            offers.discard = true;
            offers.secure_erase = secure_erase;
            offers.physical_sector_size = Some(4096);
            offers.discard_granularity = granularity;
            offers.discard_alignment = alignment;
        });
        let discard = disk.expect("a disk").discard.expect("discards");
        (discard.granularity, discard.alignment, discard.secure)
    };
    // As the protocol says: without granularity the physical sector size.
    assert_eq!(discard(None, None, false), (4096, 0, false));
    assert_eq!(discard(Some(65536), Some(512), true), (65536, 512, true));
    // Without sense.
    for granularity in [0, 1, 511, 513, 12288, 1 << 31, 1 << 32, u64::MAX] {
        assert_eq!(discard(Some(granularity), None, false), (4096, 0, false));
    }
    for alignment in [1, 511, 65536, 1 << 20, 1 << 32, u64::MAX] {
        assert_eq!(
            discard(Some(65536), Some(alignment), false),
            (65536, 0, false)
        );
    }
    let without = settled(|offers| {
        offers.secure_erase = true;
        offers.discard_granularity = Some(65536);
    });
    assert_eq!(without.map(|disk| disk.discard), Ok(None));
}

/// A value of a node: absent, sensible, on an edge, or anything.
fn node() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        1 => Just(None),
        4 => (0u32..64, -1i64..=1).prop_map(|(bit, off)| Some((1u64 << bit).wrapping_add_signed(off))),
        1 => (0u64..600).prop_map(Some),
        1 => any::<u64>().prop_map(Some),
    ]
}

/// The same for nodes where most values are refused.
fn size(sensible: impl Strategy<Value = u64>) -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => sensible.prop_map(Some), 1 => Just(None), 1 => node()]
}

prop_compose! {
    fn offers()(
        sectors in size((1u64..1 << 40).prop_map(|blocks| blocks * 8)),
        sector_size in size((9u32..=12).prop_map(|bit| 1 << bit)),
        physical_sector_size in size((9u32..=16).prop_map(|bit| 1 << bit)),
        info in node(),
        flags: [bool; 4],
        discard_granularity in node(),
        discard_alignment in node(),
        indirect_segments in node(),
    ) -> Offers {
        let [flush, barrier, discard, secure_erase] = flags;
        Offers {
            sectors,
            sector_size,
            physical_sector_size,
            info,
            flush,
            barrier,
            discard,
            secure_erase,
            discard_granularity,
            discard_alignment,
            indirect_segments,
        }
    }
}

fn check_discard(discard: &Discard, offers: &Offers) -> Result<(), TestCaseError> {
    prop_assert!(discard.granularity.is_power_of_two() && discard.granularity >= 512);
    prop_assert!(discard.alignment < discard.granularity && discard.alignment % 512 == 0);
    prop_assert_eq!(discard.secure, offers.secure_erase);
    Ok(())
}

/// All that the block layer and the ring take for granted.
fn check(disk: &Negotiated, offers: &Offers, wanted: u32) -> Result<(), TestCaseError> {
    prop_assert_eq!(Some(disk.sectors), offers.sectors);
    prop_assert!(disk.sectors > 0 && disk.sectors <= i64::MAX as u64 / 512);
    prop_assert!([512, 1024, 2048, 4096].contains(&disk.sector_size));
    prop_assert_eq!(
        u64::from(disk.sector_size),
        offers.sector_size.unwrap_or(512)
    );
    prop_assert!(disk.physical_sector_size.is_power_of_two());
    prop_assert!(disk.physical_sector_size >= disk.sector_size);
    prop_assert_eq!(disk.sectors * 512 % u64::from(disk.sector_size), 0);
    prop_assert!((DIRECT_SEGMENTS..=INDIRECT_SEGMENTS_PER_PAGE).contains(&disk.max_segments));
    if disk.indirect() {
        prop_assert!(u64::from(disk.max_segments) <= offers.indirect_segments.unwrap_or(0));
        prop_assert!(disk.max_segments <= wanted);
    }
    prop_assert_eq!(disk.discard.is_some(), offers.discard);
    if let Some(discard) = &disk.discard {
        check_discard(discard, offers)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_offer_gives_a_disk_within_bounds_or_a_refusal_that_is_right(
        offers in offers(),
        wanted in prop_oneof![0u32..600, any::<u32>()],
    ) {
        match negotiate(&offers, wanted) {
            Ok(disk) => check(&disk, &offers, wanted)?,
            // The node to blame is bad by itself, or against the ones before it, which are good.
            Err(Refused::SectorSize) => {
                prop_assert!(![None, Some(512), Some(1024), Some(2048), Some(4096)].contains(&offers.sector_size));
            }
            Err(Refused::PhysicalSectorSize) => {
                let size = offers.physical_sector_size.expect("an absent node cannot be bad");
                let least = offers.sector_size.unwrap_or(512);
                prop_assert!(!size.is_power_of_two() || size < least || size > 1 << 30);
            }
            Err(Refused::Sectors) => {
                let sectors = offers.sectors.unwrap_or(0);
                let block = offers.sector_size.unwrap_or(512) / 512;
                prop_assert!(sectors == 0 || sectors > i64::MAX as u64 / 512 || sectors % block != 0);
            }
        }
    }

    /// What is missing or senseless in an optional node never costs the disk.
    #[test]
    fn optional_nodes_do_not_refuse_a_disk(offers in offers(), wanted: u32) {
        let offers = Offers { sectors: Some(8), sector_size: None, physical_sector_size: None, ..offers };
        prop_assert!(negotiate(&offers, wanted).is_ok());
    }
}
