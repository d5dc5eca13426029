// SPDX-License-Identifier: GPL-2.0

//! The frames of the grant table: found, grown on demand, set up again after a restore, given back.

use super::{
    free_list::Stack,
    version::{
        self,
        Unknown,
        Version, //
    },
    words::Word32,
    EntryV1,
    EntryV2,
    FreeList,
    ENTRIES,
    LIMIT,
    STATUS, //
};
use crate::{
    hypercall,
    module_parameters,
    platform::native::{
        self as platform,
        Frames, //
    }, //
};
use core::mem::size_of;
use kernel::{
    fmt,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    }, //
};
use rxen_bindings as bindings;

/// The first references, which belong to the toolstack.
const RESERVED: u32 = bindings::GNTTAB_NR_RESERVED_ENTRIES;
/// The flag of a grant table index that means a frame of status words (`XENMAPIDX_grant_table_status`).
const STATUS_INDEX: usize = 1 << 31;
/// Status words in a frame.
const STATUS_PER_FRAME: usize = PAGE_SIZE / size_of::<u16>();

/// The table, while there is one.
static STATE: Atomic<*mut State> = Atomic::new(core::ptr::null_mut());

/// The table, while there is one.
#[inline]
pub(super) fn state() -> Option<&'static State> {
    // SAFETY: Set by `Table::start`, and null again before the state is freed. That waits for nobody: who allocates or
    // has references is unloaded before this module, and what this module does with them by itself, deferred ends and
    // suspends, has been stopped by then.
    unsafe { STATE.load(Relaxed).as_ref() }
}

impl Version {
    /// How many entries a frame has.
    const fn entries_per_frame(self) -> usize {
        match self {
            Self::V1 => PAGE_SIZE / size_of::<EntryV1>(),
            Self::V2 => PAGE_SIZE / size_of::<EntryV2>(),
        }
    }

    /// How many frames of entries so many frames of status words do for.
    const fn frames_with_status(self, status_frames: usize) -> usize {
        status_frames * STATUS_PER_FRAME / self.entries_per_frame()
    }

    /// How many frames of status words so many frames of entries need.
    const fn status_frames(self, frames: usize) -> usize {
        match self {
            Self::V1 => 0,
            Self::V2 => (frames * self.entries_per_frame()).div_ceil(STATUS_PER_FRAME),
        }
    }
}

/// The hypervisor of this machine.
struct Xen;

impl version::Hypervisor for Xen {
    type Error = Error;

    fn set_version(&self, number: u32) -> Result<u32> {
        let mut argument = [bindings::gnttab_set_version { version: number }];
        // SAFETY: This is the argument of the command; it points at nothing.
        unsafe { hypercall::grant_table_op(bindings::GNTTABOP_set_version, &mut argument) }?;
        let [answer] = argument;
        Ok(answer.version)
    }

    fn version(&self) -> Result<Option<u32>> {
        let mut argument = [bindings::gnttab_get_version {
            dom: bindings::DOMID_SELF as u16,
            ..Default::default()
        }];
        // SAFETY: This is the argument of the command; it points at nothing.
        match unsafe { hypercall::grant_table_op(bindings::GNTTABOP_get_version, &mut argument) } {
            Ok(()) => {
                let [answer] = argument;
                Ok(Some(answer.version))
            }
            Err(error) if error == EOPNOTSUPP || error == ENOSYS => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Chooses the version: the first, unless frame numbers do not fit into its entries or the module parameter says so. One
/// that has grants in use cannot be changed.
fn choose_version() -> Result<Version> {
    // SAFETY: Reads a variable of the memory management.
    let needed = unsafe { bindings::rxen_has_wide_frames() };
    let wanted = match module_parameters::grant_version.value() {
        0 => 1 + u32::from(needed),
        other => other,
    };
    let chosen = version::choose(&Xen, wanted).map_err(|unknown| {
        pr_err!(
            "the version of the grant table is unknown ({:?})\n",
            unknown
        );
        EIO
    })?;
    if wanted != chosen.version.number() {
        pr_warn!(
            "grant table version {} cannot be had ({:?})\n",
            wanted,
            chosen.refused
        );
    }
    Ok(chosen.version)
}

/// How many frames the hypervisor has for the table, and how many it may have.
fn query_size() -> Result<(usize, usize)> {
    let mut argument = [bindings::gnttab_query_size {
        dom: bindings::DOMID_SELF as u16,
        ..Default::default()
    }];
    // SAFETY: This is the argument of the command; it points at nothing.
    unsafe { hypercall::grant_table_op(bindings::GNTTABOP_query_size, &mut argument) }?;
    let [size] = argument;
    if size.status != bindings::GNTST_okay as i16 {
        pr_err!(
            "the hypervisor does not tell the size of the grant table: status {}\n",
            size.status
        );
        return Err(EIO);
    }
    Ok((size.nr_frames as usize, size.max_nr_frames as usize))
}

/// The table.
///
/// # Invariants
///
/// `entries` has places for the frames of entries that there may be, of which the first `reach` are filled. The entries
/// that [`LIMIT`] counts lie in these.
#[pin_data]
pub(super) struct State {
    // The version that it began with.
    begun: Version,
    entries: Frames,
    status: Option<Frames>,
    // How many frames this host allows.
    most: Atomic<usize>,
    // How many frames there are, and how many there ever were: a restore may have been on a host with fewer.
    reach: Atomic<usize>,
    grown: Atomic<usize>,
    // How many references the free list knows or has known.
    known: Atomic<u32>,
    // References that a former owner of the table has left in use.
    inherited: Atomic<u32>,
    links: KVVec<Word32>,
    pool: Stack,
    caches: KVec<Stack>,
    // Free references of frames that this host does not have.
    aside: Stack,
    // Held while the table grows.
    #[pin]
    growth: Mutex<()>,
}

impl State {
    /// Finds the table and takes places for its frames.
    fn new() -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let version = choose_version()?;
            let (_, allowed) = query_size()?;
            let most = Self::places(version, allowed);
            let entries = platform::frames(most)?;
            let status = match version.status_frames(most) {
                0 => None,
                count => Some(platform::frames(count)?),
            };
            let mut links = KVVec::new();
            let references = most * version.entries_per_frame();
            links.reserve(references, GFP_KERNEL)?;
            for _ in 0..references {
                links.push(Word32::new(0), GFP_KERNEL)?;
            }
            let mut caches = KVec::new();
            for _ in 0..kernel::cpu::nr_cpu_ids() {
                caches.push(Stack::new(), GFP_KERNEL)?;
            }
            Ok(try_pin_init!(Self {
                begun: version,
                entries,
                status,
                most: Atomic::new(most),
                reach: Atomic::new(0),
                grown: Atomic::new(0),
                known: Atomic::new(0),
                inherited: Atomic::new(0),
                links,
                pool: Stack::new(),
                caches,
                aside: Stack::new(),
                growth <- new_mutex!(()),
            }? Error))
        })
    }

    /// How many of the frames of entries that the table may have there are places for.
    fn places(version: Version, most: usize) -> usize {
        let mut places = most.min(platform::frames_left());
        while places + version.status_frames(places) > platform::frames_left() {
            places -= 1;
        }
        places
    }

    /// The version. It can change from the second to the first in a restore.
    fn version(&self) -> Version {
        if STATUS.load(Relaxed).is_null() {
            Version::V1
        } else {
            Version::V2
        }
    }

    /// The free references.
    #[inline]
    pub(super) fn list(&self) -> FreeList<'_> {
        FreeList {
            links: &self.links,
            pool: &self.pool,
            caches: &self.caches,
        }
    }

    /// Sets a reference aside whose frame this host does not have.
    pub(super) fn set_aside(&self, number: u32) {
        self.list().set_aside(number, &self.aside);
    }

    /// Has the hypervisor place the frames from one index to another, the last of them first: the table then grows once.
    /// Returns the end of those that can be used, and the first error there was; what is beyond that end is not placed.
    fn place(&self, version: Version, range: core::ops::Range<usize>) -> (usize, Result) {
        let space = bindings::XENMAPSPACE_grant_table;
        let (mut end, mut result) = (range.end, Ok(()));
        let mut note = |usable: usize, placed: Result| {
            if placed.is_err() {
                end = end.min(usable);
                result = result.and(placed);
            }
        };
        for index in range.clone().rev() {
            note(index, self.entries.place(index, space, index));
        }
        if let (Version::V2, Some(status)) = (version, &self.status) {
            let range = version.status_frames(range.start)..version.status_frames(range.end);
            for index in range.rev() {
                let placed = status.place(index, space, STATUS_INDEX | index);
                note(version.frames_with_status(index), placed);
            }
        }
        // Not before `start`: none of this range may be usable.
        let end = end.max(range.start);
        if result.is_err() {
            // Some were not placed, which is no news.
            let _ = self.clear(version, end..range.end);
        }
        (end, result)
    }

    /// How many entries so many frames have that there can be references of.
    fn entries_in(&self, frames: usize) -> u32 {
        let entries = frames.saturating_mul(self.version().entries_per_frame());
        // The links limit them to what a `u32` has.
        entries.min(self.links.len()) as u32
    }

    /// Notes how many frames there are.
    fn set_reach(&self, frames: usize) {
        self.reach.store(frames, Relaxed);
        self.grown
            .store(self.grown.load(Relaxed).max(frames), Relaxed);
        LIMIT.store(self.entries_in(frames), Relaxed);
    }

    /// Adds the references of all frames that there are to the free ones, but for those that somebody has. Returns how
    /// many that are.
    fn learn(&self) -> u32 {
        let end = self.entries_in(self.reach.load(Relaxed));
        LIMIT.store(end, Relaxed);
        let back = self.list().bring_back(end, &self.aside);
        let start = self.known.load(Relaxed).max(RESERVED);
        if start >= end {
            return back;
        }
        let added = self.list().add(start..end, super::is_usable);
        self.inherited.add(end - start - added, Relaxed);
        self.known.store(end, Relaxed);
        back + added
    }

    /// Grows the table so that there are `missing` free references more, or as many as possible. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if it did not grow at all.
    pub(super) fn grow(&self, missing: u32) -> Result {
        let _growth = self.growth.lock();
        // Somebody else may have grown it while this one waited.
        if self.list().free() >= missing {
            return Ok(());
        }
        if self.learn() > 0 {
            return Ok(());
        }
        let version = self.version();
        let reach = self.reach.load(Relaxed);
        let frames = (missing as usize).div_ceil(version.entries_per_frame());
        let wanted = reach.saturating_add(frames).min(self.most.load(Relaxed));
        if wanted <= reach {
            return Err(ENOSPC);
        }
        let (end, result) = self.place(version, reach..wanted);
        if let Err(error) = result {
            pr_warn!(
                "the grant table does not grow from {} to {} frames: {:?}\n",
                reach,
                wanted,
                error
            );
        }
        self.set_reach(end);
        if self.learn() > 0 {
            Ok(())
        } else {
            Err(ENOSPC)
        }
    }

    /// All references that are ours, of the frames that there are.
    pub(super) fn references(&self) -> core::ops::Range<u32> {
        RESERVED..LIMIT.load(Relaxed)
    }

    /// Whether there are frames that it does not have yet.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(super) fn can_grow(&self) -> bool {
        self.reach.load(Relaxed) < self.most.load(Relaxed)
    }

    /// How many references are free or can become so by growing.
    pub(super) fn available(&self) -> usize {
        let growth = self
            .entries_in(self.most.load(Relaxed))
            .saturating_sub(LIMIT.load(Relaxed));
        growth.saturating_add(self.list().free()) as usize
    }

    /// How many references are allocated.
    fn allocated(&self) -> u32 {
        self.known
            .load(Relaxed)
            .saturating_sub(RESERVED)
            .saturating_sub(self.inherited.load(Relaxed))
            .saturating_sub(self.list().free())
            .saturating_sub(self.aside.length())
    }

    /// Writes the figures.
    pub(super) fn report(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.list();
        f.write_fmt(fmt!("version {}\n", self.version().number()))?;
        f.write_fmt(fmt!(
            "frames {} of {}\n",
            self.reach.load(Relaxed),
            self.most.load(Relaxed)
        ))?;
        f.write_fmt(fmt!("allocated {}\n", self.allocated()))?;
        f.write_fmt(fmt!("cached {}\n", list.cached()))?;
        f.write_fmt(fmt!("free {}\n", list.free()))?;
        f.write_fmt(fmt!("aside {}\n", self.aside.length()))?;
        f.write_fmt(fmt!("inherited {}\n", self.inherited.load(Relaxed)))
    }

    /// See [`super::resume`].
    pub(super) fn resume(&self) -> Result {
        if let Err(error) = self.resume_version() {
            self.most.store(0, Relaxed);
            self.set_reach(0);
            self.list().sort(0, &self.aside);
            return Err(error);
        }
        if let Ok((_, allowed)) = query_size() {
            self.most.store(allowed.min(self.entries.count()), Relaxed);
        }
        let (grown, most) = (self.grown.load(Relaxed), self.most.load(Relaxed));
        let (end, result) = self.place(self.version(), 0..grown.min(most));
        self.set_reach(end);
        self.list().sort(LIMIT.load(Relaxed), &self.aside);
        if let Err(error) = result {
            pr_err!(
                "Xen does not place a frame of the grant table ({})\n",
                error.to_errno()
            );
        }
        if end < grown {
            pr_err!(
                "the grant table has {} frames here, not {}: until there are free ones, devices may not connect; \
                 raise gnttab_max_frames of this host's Xen\n",
                end,
                grown
            );
        }
        result
    }

    /// Has the hypervisor use the version that it used on the former host, which a new table forgets.
    fn resume_version(&self) -> Result {
        let before = self.version();
        let now = match version::choose(&Xen, before.number()) {
            Ok(chosen) => Some(chosen.version),
            // What a new table has.
            Err(Unknown::Untold(_)) => Some(Version::V1),
            Err(Unknown::Strange(_)) => None,
        };
        match (before, now) {
            (Version::V1, Some(Version::V1)) | (Version::V2, Some(Version::V2)) => Ok(()),
            (Version::V2, Some(Version::V1)) => {
                // The entries of the first version are smaller: all references fit into the same frames.
                pr_warn!("the new host has no grant table version 2\n");
                STATUS.store(core::ptr::null_mut(), Relaxed);
                Ok(())
            }
            (Version::V1, _) | (Version::V2, None) => {
                pr_err!("the new host has another version of the grant table: nothing can be lent here\n");
                Err(EIO)
            }
        }
    }

    /// Takes the frames from one index to another out of the guest's memory map, with their status words. Returns the
    /// first error there was; the others are taken out all the same.
    fn clear(&self, version: Version, range: core::ops::Range<usize>) -> Result {
        let mut result = Ok(());
        if let Some(status) = &self.status {
            // The frame of status words that the frames before the range need too stays.
            for index in version.status_frames(range.start)..version.status_frames(range.end) {
                result = result.and(status.clear(index));
            }
        }
        for index in range {
            result = result.and(self.entries.clear(index));
        }
        result
    }
}

/// The grant table in our hands. Dropping it takes its frames out of the guest's memory map, so that the next load
/// finds it as the first one did.
pub(crate) struct Table(Pin<KBox<State>>);

impl Table {
    /// Sets the table up.
    pub(crate) fn start() -> Result<Self> {
        let table = Self(KBox::pin_init(State::new(), GFP_KERNEL)?);
        let state = &table.0;
        let (present, _) = query_size()?;
        let present = present.clamp(1, state.entries.count().max(1));
        let version = state.begun;
        // Noted first: what was placed of them is cleared again if not all can be.
        state.reach.store(present, Relaxed);
        let (_, placed) = state.place(version, 0..present);
        placed?;
        ENTRIES.store(state.entries.address().as_ptr().cast(), Relaxed);
        if let (Version::V2, Some(status)) = (version, &state.status) {
            STATUS.store(status.address().as_ptr().cast(), Relaxed);
        }
        state.set_reach(present);
        state.learn();
        STATE.store(core::ptr::from_ref::<State>(state).cast_mut(), Relaxed);
        pr_info!(
            "grant table version {}, {} of {} frames, {} references free\n",
            version.number(),
            present,
            state.entries.count(),
            state.list().free()
        );
        Ok(table)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let allocated = self.0.allocated();
        if allocated > 0 {
            pr_warn!("{} grant references are never given back\n", allocated);
        }
        STATE.store(core::ptr::null_mut(), Relaxed);
        LIMIT.store(0, Relaxed);
        ENTRIES.store(core::ptr::null_mut(), Relaxed);
        let frames = 0..self.0.reach.load(Relaxed);
        if let Err(error) = self.0.clear(self.0.version(), frames) {
            pr_warn!("a frame of the grant table stays mapped: {:?}\n", error);
        }
        STATUS.store(core::ptr::null_mut(), Relaxed);
    }
}
