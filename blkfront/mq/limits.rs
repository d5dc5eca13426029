// SPDX-License-Identifier: GPL-2.0

//! What a disk's requests may look like.

use rxen_bindings as bindings;

/// Limits, in bytes where nothing else is said.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) logical_block: u32,
    pub(crate) physical_block: u32,
    pub(crate) segments: u16,
    pub(crate) flush: bool,
    pub(crate) fua: bool,
    /// Granularity and alignment.
    pub(crate) discard: Option<(u32, u32)>,
    pub(crate) secure_erase: bool,
}

impl Limits {
    /// Writes them into the block layer's structure.
    pub(super) fn apply(&self, limits: &mut bindings::queue_limits) {
        let page = bindings::PAGE_SIZE as u32;
        limits.logical_block_size = self.logical_block;
        limits.physical_block_size = self.physical_block;
        limits.max_segments = self.segments;
        limits.max_hw_sectors = u32::from(self.segments) * (page / 512);
        // Each segment is lent to the backend as one page or a part of it, in whole sectors.
        limits.max_segment_size = page;
        limits.seg_boundary_mask = page as usize - 1;
        limits.dma_alignment = 511;
        let (granularity, alignment) = self.discard.unwrap_or((0, 0));
        limits.discard_granularity = granularity;
        limits.discard_alignment = alignment;
        limits.max_hw_discard_sectors = if self.discard.is_some() { u32::MAX } else { 0 };
        limits.max_secure_erase_sectors = if self.secure_erase { u32::MAX } else { 0 };
        // SAFETY: `limits` is valid for writes.
        unsafe { bindings::rxen_mq_limits_set_cache(limits, self.flush, self.fua) };
    }
}
