// SPDX-License-Identifier: GPL-2.0

//! The phases of a suspend, carried out.

use crate::{
    fault::Fault,
    phases::{
        self,
        Machine,
        Outcome,
        Phase, //
    },
    report::{
        Laps,
        Milliseconds,
        Report, //
    }, //
};
use kernel::prelude::*;
use rxenbus::suspend::{
    self as steps,
    Alone,
    FailingHypercall,
    Returned,
    Stopped, //
};

/// This guest, in a suspend.
struct Guest<'a> {
    report: &'a Report,
    laps: Laps,
    // Keeps a hypercall of the phase that runs failing.
    failing: Option<FailingHypercall>,
}

/// Suspends the guest, from the first phase to the last. Returns how it ended; the log says it too.
pub(crate) fn suspend(report: &Report) -> Result<Outcome> {
    let _alone = Alone::new();
    let mut guest = Guest {
        report,
        laps: Laps::default(),
        failing: None,
    };
    let begun = steps::clock();
    let ended = phases::run(&mut guest);
    let lasted = Milliseconds(steps::clock().saturating_sub(begun));
    report.add(&guest.laps, &ended);
    match &ended.result {
        Ok(outcome) => pr_info!(
            "{} in {} ms: {}\n",
            match outcome {
                Outcome::Restored => "suspended and restored",
                Outcome::Cancelled => "suspended, cancelled",
            },
            lasted,
            guest.laps
        ),
        Err(failure) => pr_err!(
            "not suspended: phase {} failed ({:?}); all goes on as before, after {} ms: {}\n",
            failure.phase.name(),
            failure.error,
            lasted,
            guest.laps
        ),
    }
    if let Some(failure) = &ended.trouble {
        pr_err!(
            "phase {} failed after the suspend ({:?}); devices may not work until the guest is rebooted\n",
            failure.phase.name(),
            failure.error
        );
    }
    ended.result.map_err(|failure| failure.error)
}

impl Machine for Guest<'_> {
    type Error = Error;
    type Stopped = Stopped;

    fn enter(&mut self, phase: Phase) -> Result {
        match phase {
            Phase::Park => steps::park_devices(),
            Phase::Settle => steps::hold_store(),
            _ => Err(EINVAL),
        }
    }

    fn stop(&mut self, inside: &mut (dyn FnMut(&mut Self, &Stopped) + Send)) -> Result {
        steps::with_cpus_stopped(&mut |stopped| inside(self, stopped))
    }

    fn still(&mut self, stopped: &Stopped, phase: Phase) -> Result {
        match phase {
            Phase::Timekeeping => stopped.stop_timekeeping(),
            Phase::Save => {
                stopped.save();
                Ok(())
            }
            Phase::Platform => stopped.resume_platform(),
            Phase::Grants => stopped.resume_grants(),
            Phase::Events => stopped.resume_events(),
            Phase::Clock => {
                stopped.start_timekeeping();
                Ok(())
            }
            _ => Err(EINVAL),
        }
    }

    fn hypercall(&mut self, stopped: &Stopped) -> Result<Outcome> {
        Ok(match stopped.suspend()? {
            Returned::Cancelled => Outcome::Cancelled,
            Returned::Restored => Outcome::Restored,
        })
    }

    fn leave(&mut self, phase: Phase, outcome: Outcome) -> Result {
        match (phase, outcome) {
            (Phase::Start, _) => {
                steps::wake_timers();
                Ok(())
            }
            (Phase::Xenstore, outcome) => steps::release_store(outcome == Outcome::Restored),
            (Phase::Devices, Outcome::Cancelled) => steps::unpark_devices(),
            (Phase::Devices, Outcome::Restored) => steps::restore_devices(),
            _ => Err(EINVAL),
        }
    }

    fn fault(&mut self, phase: Phase) -> Option<Error> {
        match self.report.take_fault(phase)? {
            Fault::Phase => Some(EIO),
            Fault::Hypercall(number) => {
                self.failing = Some(FailingHypercall::new(number.get()));
                None
            }
        }
    }

    fn clock(&self) -> u64 {
        steps::clock()
    }

    fn ran(&mut self, phase: Phase, nanoseconds: u64, result: Result<(), &Error>) {
        self.failing = None;
        self.laps.note(phase, nanoseconds, result.is_err());
        steps::trace_phase(phase.c_name(), nanoseconds, result.is_err());
    }
}
