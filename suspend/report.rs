// SPDX-License-Identifier: GPL-2.0

//! How long each phase took, and faults that are asked for: the files of debugfs.

use crate::{
    fault::Fault,
    phases::{
        Ended,
        Outcome,
        Phase, //
    },
    recent::Recent, //
};
use kernel::{
    debugfs,
    fmt,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    uaccess::UserSliceReader, //
};

/// The longest text that the file `fail` takes.
const LONGEST: usize = 256;

/// What one suspend took of a phase.
#[derive(Clone, Copy, Default)]
struct Lap {
    attempts: u64,
    failures: u64,
    nanoseconds: u64,
}

/// What one suspend took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Laps([Lap; Phase::ALL.len()]);

impl Laps {
    /// Notes an attempt at a phase. Any context.
    pub(crate) fn note(&mut self, phase: Phase, nanoseconds: u64, failed: bool) {
        if let Some(lap) = self.0.get_mut(phase.index()) {
            lap.attempts = lap.attempts.saturating_add(1);
            lap.failures = lap.failures.saturating_add(failed.into());
            lap.nanoseconds = lap.nanoseconds.saturating_add(nanoseconds);
        }
    }

    /// The phases that were tried, each with the time it took.
    fn tried(&self) -> impl Iterator<Item = (Phase, &Lap)> {
        let all = Phase::ALL.into_iter().zip(&self.0);
        all.filter(|(_, lap)| lap.attempts > 0)
    }
}

impl fmt::Display for Laps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (phase, lap)) in self.tried().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            f.write_fmt(fmt!(
                "{}{} {}",
                comma,
                phase.name(),
                Milliseconds(lap.nanoseconds)
            ))?;
        }
        Ok(())
    }
}

/// Nanoseconds, shown as milliseconds with three digits after the point.
pub(crate) struct Milliseconds(pub(crate) u64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = self.0 / 1000;
        f.write_fmt(fmt!("{}.{:03}", microseconds / 1000, microseconds % 1000))
    }
}

/// A phase over all suspends.
#[derive(Clone, Copy, Default)]
struct Total {
    attempts: u64,
    failures: u64,
    last: u64,
    longest: u64,
    sum: u64,
}

/// All suspends since the module was loaded.
struct Figures {
    restored: u64,
    cancelled: u64,
    failed: u64,
    totals: [Total; Phase::ALL.len()],
    /// One for each phase.
    recent: KVec<Recent>,
}

/// What the files show.
#[pin_data]
pub(crate) struct Report {
    #[pin]
    figures: Mutex<Figures>,
    /// The number of the fault of each phase; 0 for none.
    faults: [Atomic<u32>; Phase::ALL.len()],
}

impl Report {
    /// With nothing in it.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let recent = KVec::from_elem(Recent::new(), Phase::ALL.len(), GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                figures <- new_mutex!(Figures {
                    restored: 0,
                    cancelled: 0,
                    failed: 0,
                    totals: [Total::default(); Phase::ALL.len()],
                    recent,
                }),
                faults: [const { Atomic::new(0) }; Phase::ALL.len()],
            }),
            GFP_KERNEL,
        )
    }

    /// Adds a suspend.
    pub(crate) fn add<E>(&self, laps: &Laps, ended: &Ended<E>) {
        let mut figures = self.figures.lock();
        let figures = &mut *figures;
        let count = match ended.result {
            Ok(Outcome::Restored) => &mut figures.restored,
            Ok(Outcome::Cancelled) => &mut figures.cancelled,
            Err(_) => &mut figures.failed,
        };
        *count = count.saturating_add(1);
        let phases = figures.totals.iter_mut().zip(&mut figures.recent);
        for ((total, recent), lap) in phases.zip(&laps.0) {
            if lap.attempts > 0 {
                recent.add(lap.nanoseconds);
                total.attempts = total.attempts.saturating_add(lap.attempts);
                total.failures = total.failures.saturating_add(lap.failures);
                total.last = lap.nanoseconds;
                total.longest = total.longest.max(lap.nanoseconds);
                total.sum = total.sum.saturating_add(lap.nanoseconds);
            }
        }
    }

    /// What is to fail in a phase that begins now; then it is not to fail again. Any context.
    pub(crate) fn take_fault(&self, phase: Phase) -> Option<Fault> {
        Fault::from_number(self.faults.get(phase.index())?.xchg(0, Full))
    }
}

/// The file `phases`: a line for each, with the times in milliseconds.
pub(crate) struct PhasesFile(pub(crate) Arc<Report>);

impl debugfs::Writer for PhasesFile {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.0.figures.lock();
        f.write_fmt(fmt!(
            "restored {}\ncancelled {}\nfailed {}\n",
            figures.restored,
            figures.cancelled,
            figures.failed
        ))?;
        let phases = Phase::ALL.into_iter().zip(&figures.totals);
        for ((phase, total), recent) in phases.zip(&figures.recent) {
            f.write_fmt(fmt!(
                "{} attempts {} failures {} last {} median {} longest {} sum {}\n",
                phase.name(),
                total.attempts,
                total.failures,
                Milliseconds(total.last),
                Milliseconds(recent.median()),
                Milliseconds(total.longest),
                Milliseconds(total.sum)
            ))?;
        }
        Ok(())
    }
}

/// The file `fail`: what is to fail once, as [`Fault::parse`] takes it. What is written replaces what was there.
pub(crate) struct FailFile(pub(crate) Arc<Report>);

impl debugfs::Writer for FailFile {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (phase, fault) in Phase::ALL.into_iter().zip(&self.0.faults) {
            match Fault::from_number(fault.load(Relaxed)) {
                None => {}
                Some(Fault::Phase) => f.write_fmt(fmt!("{}\n", phase.name()))?,
                Some(Fault::Hypercall(number)) => {
                    f.write_fmt(fmt!("{}/{}\n", phase.name(), number.get()))?
                }
            }
        }
        Ok(())
    }
}

impl debugfs::Reader for FailFile {
    fn read_from_slice(&self, reader: &mut UserSliceReader) -> Result {
        if reader.len() > LONGEST {
            return Err(EINVAL);
        }
        let mut text = KVec::with_capacity(reader.len(), GFP_KERNEL)?;
        reader.clone_reader().read_all(&mut text, GFP_KERNEL)?;
        let mut faults = [0; Phase::ALL.len()];
        for word in text
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
        {
            let (phase, fault) = Fault::parse(word).ok_or(EINVAL)?;
            *faults.get_mut(phase.index()).ok_or(EINVAL)? = fault.number();
        }
        for (place, fault) in self.0.faults.iter().zip(faults) {
            place.store(fault, Relaxed);
        }
        Ok(())
    }
}
