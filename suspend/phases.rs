// SPDX-License-Identifier: GPL-2.0

//! The order of a suspend: pure, tested on the build machine.
//!
//! ```text
//!  park --> settle --> stop --> timekeeping --> save --> hypercall
//!                                                            |
//!                         restored: platform, grants, events |  cancelled: none of these
//!                                                            v
//!  devices <-- xenstore <-- start <-- clock <----------------+
//! ```
//!
//! Each phase on the way in has one on the way out that undoes it (`devices` undoes `park`, `xenstore` undoes
//! `settle`, and so on). A phase that fails leaves nothing behind, and those before it are undone in the reverse order:
//! the guest goes on as if nobody had asked.
//!
//! On the way out there is no way back. A phase that fails there is tried again; in the end it is reported, and the
//! others run all the same.

use core::ffi::CStr;

/// How often a phase on the way out is tried.
pub const ATTEMPTS: u32 = 3;

/// One phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All devices come to rest.
    Park,
    /// Nothing is in flight to xenstored.
    Settle,
    /// All other CPUs stand still, with interrupts off, and this one runs with interrupts off.
    Stop,
    /// Timekeeping and what else of the kernel has to know.
    Timekeeping,
    /// What the parts of the core have to do at the last moment.
    Save,
    /// The hypercall, in which the domain is saved, and from which it returns.
    Hypercall,
    /// Shared info.
    Platform,
    /// The grant table.
    Grants,
    /// Event channels.
    Events,
    /// Timekeeping again.
    Clock,
    /// All CPUs run again.
    Start,
    /// The xenstore client.
    Xenstore,
    /// The devices, all at the same time.
    Devices,
}

impl Phase {
    /// All phases, in the order in which they run.
    pub const ALL: [Self; 13] = [
        Self::Park,
        Self::Settle,
        Self::Stop,
        Self::Timekeeping,
        Self::Save,
        Self::Hypercall,
        Self::Platform,
        Self::Grants,
        Self::Events,
        Self::Clock,
        Self::Start,
        Self::Xenstore,
        Self::Devices,
    ];

    /// Its name in logs and in debugfs.
    pub const fn name(self) -> &'static str {
        // Names are ASCII.
        match self.c_name().to_str() {
            Ok(name) => name,
            Err(_) => "",
        }
    }

    /// Its name for C.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            Self::Park => c"park",
            Self::Settle => c"settle",
            Self::Stop => c"stop",
            Self::Timekeeping => c"timekeeping",
            Self::Save => c"save",
            Self::Hypercall => c"hypercall",
            Self::Platform => c"platform",
            Self::Grants => c"grants",
            Self::Events => c"events",
            Self::Clock => c"clock",
            Self::Start => c"start",
            Self::Xenstore => c"xenstore",
            Self::Devices => c"devices",
        }
    }

    /// From its name; blanks around it do not matter.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let name = name.trim_ascii();
        Self::ALL
            .into_iter()
            .find(|phase| phase.name().as_bytes() == name)
    }

    /// Whether its work is hypercalls, with nothing else running that makes some.
    pub const fn makes_hypercalls(self) -> bool {
        matches!(
            self,
            Self::Hypercall | Self::Platform | Self::Grants | Self::Events
        )
    }

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How a suspend went that got as far as the hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The domain goes on where it is, as after a checkpoint: all it shares with others is as it was.
    Cancelled,
    /// The domain was built anew, here or elsewhere: what it shared is gone.
    Restored,
}

/// A phase that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<E> {
    /// Which.
    pub phase: Phase,
    /// Why.
    pub error: E,
}

/// The end of a suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended<E> {
    /// What came of it. After an error the domain was not suspended, and all is as before.
    pub result: Result<Outcome, Failure<E>>,
    /// The first phase on the way out that failed for good: something does not work any more.
    pub trouble: Option<Failure<E>>,
}

/// What a suspend works on.
pub trait Machine: Send {
    /// Why a phase failed.
    type Error: Send;
    /// Only there while all other CPUs stand still.
    type Stopped: ?Sized;

    /// Runs `Park` or `Settle`. After an error nothing of the phase is left.
    fn enter(&mut self, phase: Phase) -> Result<(), Self::Error>;

    /// Stops all other CPUs, runs `inside` once and starts them again. After an error `inside` has not run.
    fn stop(
        &mut self,
        inside: &mut (dyn FnMut(&mut Self, &Self::Stopped) + Send),
    ) -> Result<(), Self::Error>;

    /// Runs one of the phases from `Timekeeping` to `Clock`, but for the hypercall. After an error of the first two,
    /// nothing of the phase is left.
    fn still(&mut self, stopped: &Self::Stopped, phase: Phase) -> Result<(), Self::Error>;

    /// Suspends the domain.
    fn hypercall(&mut self, stopped: &Self::Stopped) -> Result<Outcome, Self::Error>;

    /// Runs `Start`, `Xenstore` or `Devices`.
    fn leave(&mut self, phase: Phase, outcome: Outcome) -> Result<(), Self::Error>;

    /// The error of a fault that was asked for in this phase.
    fn fault(&mut self, phase: Phase) -> Option<Self::Error>;

    /// A clock that runs in all phases, in nanoseconds.
    fn clock(&self) -> u64;

    /// A phase has run; called for each attempt.
    fn ran(&mut self, phase: Phase, nanoseconds: u64, result: Result<(), &Self::Error>);
}

/// Runs a suspend from beginning to end.
pub fn run<M: Machine>(machine: &mut M) -> Ended<M::Error> {
    if let Err(failure) = attempt(machine, Phase::Park, |machine| machine.enter(Phase::Park)) {
        return Ended {
            result: Err(failure),
            trouble: None,
        };
    }
    let mut ended = settled(machine);
    let outcome = ended.outcome();
    ended.note(way_out(machine, Phase::Devices, |machine| {
        machine.leave(Phase::Devices, outcome)
    }));
    ended
}

impl<E> Ended<E> {
    /// What the phases on the way out have to know.
    fn outcome(&self) -> Outcome {
        match self.result {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Cancelled,
        }
    }

    /// Notes the trouble of one more phase.
    fn note(&mut self, result: Result<(), Failure<E>>) {
        if let Err(failure) = result {
            self.trouble.get_or_insert(failure);
        }
    }
}

/// All that is between `Park` and `Devices`.
fn settled<M: Machine>(machine: &mut M) -> Ended<M::Error> {
    if let Err(failure) = attempt(machine, Phase::Settle, |machine| {
        machine.enter(Phase::Settle)
    }) {
        return Ended {
            result: Err(failure),
            trouble: None,
        };
    }
    let mut ended = stopped(machine);
    let outcome = ended.outcome();
    ended.note(way_out(machine, Phase::Xenstore, |machine| {
        machine.leave(Phase::Xenstore, outcome)
    }));
    ended
}

/// All that is between `Settle` and `Xenstore`.
fn stopped<M: Machine>(machine: &mut M) -> Ended<M::Error> {
    let mut ended = None;
    let begun = machine.clock();
    let mut left = begun;
    let result = match machine.fault(Phase::Stop) {
        Some(error) => Err(error),
        None => machine.stop(&mut |machine, stopped| {
            let reached = machine.clock().saturating_sub(begun);
            machine.ran(Phase::Stop, reached, Ok(()));
            ended = Some(inside(machine, stopped));
            left = machine.clock();
        }),
    };
    match (ended, result) {
        (Some(mut ended), _) => {
            let started = machine.clock().saturating_sub(left);
            machine.ran(Phase::Start, started, Ok(()));
            let outcome = ended.outcome();
            // The CPUs run; what may fail is what is left to do on each.
            ended.note(way_out(machine, Phase::Start, |machine| {
                machine.leave(Phase::Start, outcome)
            }));
            ended
        }
        (None, result) => {
            let lasted = machine.clock().saturating_sub(begun);
            machine.ran(Phase::Stop, lasted, result.as_ref().copied());
            Ended {
                result: match result {
                    Err(error) => Err(Failure {
                        phase: Phase::Stop,
                        error,
                    }),
                    // Cannot be: `stop` has run nothing and says that it has.
                    Ok(()) => Ok(Outcome::Cancelled),
                },
                trouble: None,
            }
        }
    }
}

/// What runs while all other CPUs stand still.
fn inside<M: Machine>(machine: &mut M, stopped: &M::Stopped) -> Ended<M::Error> {
    let mut ended = Ended {
        result: Ok(Outcome::Cancelled),
        trouble: None,
    };
    if let Err(failure) = attempt(machine, Phase::Timekeeping, |machine| {
        machine.still(stopped, Phase::Timekeeping)
    }) {
        ended.result = Err(failure);
        return ended;
    }
    ended.result = attempt(machine, Phase::Save, |machine| {
        machine.still(stopped, Phase::Save)
    })
    .and_then(|()| {
        attempt(machine, Phase::Hypercall, |machine| {
            machine.hypercall(stopped)
        })
    });
    if matches!(ended.result, Ok(Outcome::Restored)) {
        for phase in [Phase::Platform, Phase::Grants, Phase::Events] {
            ended.note(way_out(machine, phase, |machine| {
                machine.still(stopped, phase)
            }));
        }
    }
    ended.note(way_out(machine, Phase::Clock, |machine| {
        machine.still(stopped, Phase::Clock)
    }));
    ended
}

/// Runs a phase once.
fn attempt<M: Machine, T>(
    machine: &mut M,
    phase: Phase,
    body: impl FnOnce(&mut M) -> Result<T, M::Error>,
) -> Result<T, Failure<M::Error>> {
    let begun = machine.clock();
    let result = match machine.fault(phase) {
        Some(error) => Err(error),
        None => body(machine),
    };
    let lasted = machine.clock().saturating_sub(begun);
    machine.ran(phase, lasted, result.as_ref().map(|_| ()));
    result.map_err(|error| Failure { phase, error })
}

/// Runs a phase on the way out, again if it fails.
fn way_out<M: Machine>(
    machine: &mut M,
    phase: Phase,
    mut body: impl FnMut(&mut M) -> Result<(), M::Error>,
) -> Result<(), Failure<M::Error>> {
    let mut attempts = ATTEMPTS;
    loop {
        attempts = attempts.saturating_sub(1);
        match attempt(machine, phase, &mut body) {
            Err(_) if attempts > 0 => continue,
            result => return result,
        }
    }
}
