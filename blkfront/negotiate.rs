// SPDX-License-Identifier: GPL-2.0

//! What the backend offers and what comes of it: pure, tested on the build machine.
//!
//! The sources of the names and ranges are `include/xen/interface/io/blkif.h` and xen.git's `public/io/blkif.h`. All
//! counts of sectors are in units of 512 bytes, whatever `sector-size` says.

use core::ffi::CStr;

/// Bytes of the protocol's sector.
pub const SECTOR: u32 = 512;
/// Segments of a request in its ring slot (`BLKIF_MAX_SEGMENTS_PER_REQUEST`).
pub const DIRECT_SEGMENTS: u32 = 11;
/// The size of the largest segment: a page.
pub const SEGMENT_BYTES: u32 = 4096;
/// Segments that fit into one indirect page.
pub const INDIRECT_SEGMENTS_PER_PAGE: u32 = 512;
/// The largest size that a disk can have in Linux, in sectors.
const MAX_SECTORS: u64 = i64::MAX as u64 / SECTOR as u64;

/// What the backend published, as read from xenstore; [`None`] where a node is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offers {
    /// `sectors`
    pub sectors: Option<u64>,
    /// `sector-size`, bytes
    pub sector_size: Option<u64>,
    /// `physical-sector-size`, bytes
    pub physical_sector_size: Option<u64>,
    /// `info`: `VDISK_*`
    pub info: Option<u64>,
    /// `feature-flush-cache`
    pub flush: bool,
    /// `feature-barrier`
    pub barrier: bool,
    /// `feature-discard`
    pub discard: bool,
    /// `discard-secure`
    pub secure_erase: bool,
    /// `discard-granularity`, bytes
    pub discard_granularity: Option<u64>,
    /// `discard-alignment`, bytes
    pub discard_alignment: Option<u64>,
    /// `feature-max-indirect-segments`
    pub indirect_segments: Option<u64>,
}

impl Offers {
    /// Reads all nodes by way of `number`, which gives [`None`] for one that is absent, and `flag`.
    ///
    /// # Errors
    ///
    /// The first one of a node that cannot be read: a flush that the backend offers must not be taken for one that it
    /// does not.
    pub fn gather<E>(
        number: impl Fn(&CStr) -> Result<Option<u64>, E>,
        flag: impl Fn(&CStr) -> Result<bool, E>,
    ) -> Result<Self, E> {
        Ok(Self {
            sectors: number(c"sectors")?,
            sector_size: number(c"sector-size")?,
            physical_sector_size: number(c"physical-sector-size")?,
            info: number(c"info")?,
            flush: flag(c"feature-flush-cache")?,
            barrier: flag(c"feature-barrier")?,
            discard: flag(c"feature-discard")?,
            secure_erase: flag(c"discard-secure")?,
            discard_granularity: number(c"discard-granularity")?,
            discard_alignment: number(c"discard-alignment")?,
            indirect_segments: number(c"feature-max-indirect-segments")?,
        })
    }
}

/// Why a backend's offer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// `sectors` is absent, 0, too large, or no multiple of the sector size.
    Sectors,
    /// `sector-size` is no power of two from 512 to a page.
    SectorSize,
    /// `physical-sector-size` is no power of two or below the sector size.
    PhysicalSectorSize,
}

impl Refused {
    /// The node that is to blame.
    pub const fn node(self) -> &'static str {
        match self {
            Self::Sectors => "sectors",
            Self::SectorSize => "sector-size",
            Self::PhysicalSectorSize => "physical-sector-size",
        }
    }
}

/// How data is brought to stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// The backend has no volatile cache, or no way to flush it.
    None,
    /// By flush requests.
    Cache,
    /// By barrier writes, with or without data.
    Barrier,
}

/// What may be discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discard {
    /// Bytes.
    pub granularity: u32,
    /// Bytes.
    pub alignment: u32,
    /// Copies are erased too.
    pub secure: bool,
}

/// What both ends agreed on for one connection. Does not change while the connection lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Size in sectors of 512 bytes.
    pub sectors: u64,
    /// Bytes.
    pub sector_size: u32,
    /// Bytes.
    pub physical_sector_size: u32,
    /// Writes are refused.
    pub read_only: bool,
    /// The medium can be taken out.
    pub removable: bool,
    /// Flushes.
    pub flush: Flush,
    /// Discards.
    pub discard: Option<Discard>,
    /// Segments of a request; above [`DIRECT_SEGMENTS`] indirect requests are used.
    pub max_segments: u32,
}

impl Negotiated {
    /// Whether indirect requests are used.
    pub const fn indirect(&self) -> bool {
        self.max_segments > DIRECT_SEGMENTS
    }
}

/// Settles a connection. `wanted_segments` is the module parameter: the most segments of an indirect request.
pub fn negotiate(offers: &Offers, wanted_segments: u32) -> Result<Negotiated, Refused> {
    let sector_size = power_of_two(
        offers.sector_size.unwrap_or(SECTOR.into()),
        SECTOR,
        SEGMENT_BYTES,
    )
    .ok_or(Refused::SectorSize)?;
    let physical = offers.physical_sector_size.unwrap_or(sector_size.into());
    let physical_sector_size =
        power_of_two(physical, sector_size, 1 << 30).ok_or(Refused::PhysicalSectorSize)?;
    let sectors = offers.sectors.ok_or(Refused::Sectors)?;
    if sectors == 0 || sectors > MAX_SECTORS || sectors % u64::from(sector_size / SECTOR) != 0 {
        return Err(Refused::Sectors);
    }
    let info = offers.info.unwrap_or(0);
    // A CD-ROM is a removable disk that is not written to.
    let cdrom = info & 1 != 0;
    Ok(Negotiated {
        sectors,
        sector_size,
        physical_sector_size,
        read_only: cdrom || info & 4 != 0,
        removable: cdrom || info & 2 != 0,
        flush: match (offers.flush, offers.barrier) {
            (true, _) => Flush::Cache,
            (false, true) => Flush::Barrier,
            (false, false) => Flush::None,
        },
        discard: offers
            .discard
            .then(|| discard(offers, physical_sector_size)),
        max_segments: segments(offers.indirect_segments, wanted_segments),
    })
}

/// What may be discarded, with what is missing or senseless replaced by what is safe.
fn discard(offers: &Offers, physical_sector_size: u32) -> Discard {
    let granularity = offers
        .discard_granularity
        .and_then(|bytes| power_of_two(bytes, SECTOR, 1 << 30))
        .unwrap_or(physical_sector_size);
    let alignment = offers
        .discard_alignment
        .and_then(|bytes| u32::try_from(bytes).ok())
        .filter(|bytes| *bytes < granularity && bytes % SECTOR == 0)
        .unwrap_or(0);
    Discard {
        granularity,
        alignment,
        secure: offers.secure_erase,
    }
}

/// Segments of a request: both ends' limits, one indirect page at the most, and what a slot holds at the least.
fn segments(offered: Option<u64>, wanted: u32) -> u32 {
    let most = u64::from(wanted.min(INDIRECT_SEGMENTS_PER_PAGE));
    let segments = offered.unwrap_or(0).min(most) as u32;
    segments.max(DIRECT_SEGMENTS)
}

/// The value, if it is a power of two in the range.
fn power_of_two(value: u64, least: u32, most: u32) -> Option<u32> {
    let value = u32::try_from(value).ok()?;
    (value.is_power_of_two() && (least..=most).contains(&value)).then_some(value)
}
