// SPDX-License-Identifier: GPL-2.0

//! The order of a suspend: on the good way, and with faults wherever one can be.

use proptest::prelude::*;
use pure_suspend::phases::{
    run,
    Ended,
    Failure,
    Machine,
    Outcome,
    Phase,
    ATTEMPTS, //
};

/// A made-up error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Broken(Phase);

/// A machine that notes what is done to it, and fails where it is told to.
#[derive(Default)]
struct Recorder {
    /// What the hypercall says; it fails if there is nothing.
    outcome: Option<Outcome>,
    /// How often each phase is to fail, from its first attempt on.
    faults: [u32; Phase::ALL.len()],
    /// Phases that have been carried out.
    done: Vec<Phase>,
    /// Attempts, successful or not.
    attempts: Vec<(Phase, bool)>,
    /// The time goes on whenever somebody looks.
    time: std::cell::Cell<u64>,
    others_stand_still: bool,
}

/// The proof that all other CPUs stand still.
struct Still;

impl Recorder {
    fn new(outcome: Option<Outcome>) -> Self {
        Self {
            outcome,
            ..Self::default()
        }
    }

    fn failing(outcome: Option<Outcome>, phase: Phase, times: u32) -> Self {
        let mut recorder = Self::new(outcome);
        recorder.faults[phase.index()] = times;
        recorder
    }

    fn carry_out(&mut self, phase: Phase, still: bool) {
        assert_eq!(self.others_stand_still, still, "{phase:?}");
        self.done.push(phase);
    }
}

impl Machine for Recorder {
    type Error = Broken;
    type Stopped = Still;

    fn enter(&mut self, phase: Phase) -> Result<(), Broken> {
        assert!(matches!(phase, Phase::Park | Phase::Settle));
        self.carry_out(phase, false);
        Ok(())
    }

    fn stop(&mut self, inside: &mut (dyn FnMut(&mut Self, &Still) + Send)) -> Result<(), Broken> {
        self.carry_out(Phase::Stop, false);
        self.others_stand_still = true;
        inside(self, &Still);
        self.others_stand_still = false;
        Ok(())
    }

    fn still(&mut self, _: &Still, phase: Phase) -> Result<(), Broken> {
        assert!(matches!(
            phase,
            Phase::Timekeeping
                | Phase::Save
                | Phase::Platform
                | Phase::Grants
                | Phase::Events
                | Phase::Clock
        ));
        self.carry_out(phase, true);
        Ok(())
    }

    fn hypercall(&mut self, _: &Still) -> Result<Outcome, Broken> {
        self.carry_out(Phase::Hypercall, true);
        self.outcome.ok_or(Broken(Phase::Hypercall))
    }

    fn leave(&mut self, phase: Phase, outcome: Outcome) -> Result<(), Broken> {
        assert!(matches!(
            phase,
            Phase::Start | Phase::Xenstore | Phase::Devices
        ));
        let restored =
            self.done.contains(&Phase::Hypercall) && self.outcome == Some(Outcome::Restored);
        assert_eq!(outcome == Outcome::Restored, restored, "{phase:?}");
        self.carry_out(phase, false);
        Ok(())
    }

    fn fault(&mut self, phase: Phase) -> Option<Broken> {
        let left = &mut self.faults[phase.index()];
        *left = left.checked_sub(1)?;
        Some(Broken(phase))
    }

    fn clock(&self) -> u64 {
        self.time.set(self.time.get() + 1);
        self.time.get()
    }

    fn ran(&mut self, phase: Phase, nanoseconds: u64, result: Result<(), &Broken>) {
        assert!(nanoseconds > 0, "{phase:?}");
        self.attempts.push((phase, result.is_ok()));
    }
}

/// What undoes a phase.
fn undo(phase: Phase) -> Option<Phase> {
    match phase {
        Phase::Park => Some(Phase::Devices),
        Phase::Settle => Some(Phase::Xenstore),
        Phase::Stop => Some(Phase::Start),
        Phase::Timekeeping => Some(Phase::Clock),
        _ => None,
    }
}

const WAY_IN: [Phase; 6] = [
    Phase::Park,
    Phase::Settle,
    Phase::Stop,
    Phase::Timekeeping,
    Phase::Save,
    Phase::Hypercall,
];

#[test]
fn the_good_ways() {
    let mut restored = Recorder::new(Some(Outcome::Restored));
    let good = |outcome| Ended {
        result: Ok(outcome),
        trouble: None,
    };
    assert_eq!(run(&mut restored), good(Outcome::Restored));
    assert_eq!(restored.done, Phase::ALL);
    let mut cancelled = Recorder::new(Some(Outcome::Cancelled));
    assert_eq!(run(&mut cancelled), good(Outcome::Cancelled));
    let rebuilding = [Phase::Platform, Phase::Grants, Phase::Events];
    let expected: Vec<_> = Phase::ALL
        .into_iter()
        .filter(|phase| !rebuilding.contains(phase))
        .collect();
    assert_eq!(cancelled.done, expected);
}

#[test]
fn a_fault_on_the_way_in_undoes_what_was_done_in_reverse() {
    for (index, phase) in WAY_IN.into_iter().enumerate() {
        let mut recorder = Recorder::failing(Some(Outcome::Restored), phase, 1);
        let ended = run(&mut recorder);
        let error = Broken(phase);
        assert_eq!(ended.result, Err(Failure { phase, error }));
        assert_eq!(ended.trouble, None);
        let before = &WAY_IN[..index];
        let mut expected = before.to_vec();
        expected.extend(before.iter().rev().filter_map(|done| undo(*done)));
        assert_eq!(recorder.done, expected, "{phase:?}");
        assert!(!recorder.done.contains(&Phase::Hypercall));
    }
}

#[test]
fn a_hypercall_that_fails_is_undone_like_any_other() {
    let mut recorder = Recorder::new(None);
    let ended = run(&mut recorder);
    let phase = Phase::Hypercall;
    let error = Broken(phase);
    assert_eq!(ended.result, Err(Failure { phase, error }));
    let mut expected = WAY_IN.to_vec();
    expected.extend(WAY_IN.into_iter().rev().filter_map(undo));
    assert_eq!(recorder.done, expected);
}

#[test]
fn a_passing_fault_on_the_way_out_does_no_harm() {
    for phase in Phase::ALL
        .into_iter()
        .filter(|phase| !WAY_IN.contains(phase))
    {
        for times in 1..ATTEMPTS {
            let mut recorder = Recorder::failing(Some(Outcome::Restored), phase, times);
            let ended = run(&mut recorder);
            assert_eq!(ended.result, Ok(Outcome::Restored));
            assert_eq!(ended.trouble, None, "{phase:?}");
            assert_eq!(recorder.done, Phase::ALL);
        }
    }
}

#[test]
fn a_lasting_fault_on_the_way_out_is_reported_and_the_rest_is_done() {
    for phase in Phase::ALL
        .into_iter()
        .filter(|phase| !WAY_IN.contains(phase))
    {
        let mut recorder = Recorder::failing(Some(Outcome::Restored), phase, u32::MAX);
        let ended = run(&mut recorder);
        assert_eq!(ended.result, Ok(Outcome::Restored));
        let error = Broken(phase);
        assert_eq!(ended.trouble, Some(Failure { phase, error }));
        let expected: Vec<_> = Phase::ALL
            .into_iter()
            .filter(|other| *other != phase)
            .collect();
        assert_eq!(recorder.done, expected);
        let tried = recorder
            .attempts
            .iter()
            .filter(|attempt| **attempt == (phase, false));
        assert_eq!(tried.count(), ATTEMPTS as usize);
    }
}

#[test]
fn names_lead_back() {
    for phase in Phase::ALL {
        assert_eq!(Phase::from_name(phase.name().as_bytes()), Some(phase));
        let line = format!(" {}\n", phase.name());
        assert_eq!(Phase::from_name(line.as_bytes()), Some(phase));
        assert_eq!(Phase::ALL[phase.index()], phase);
    }
    assert_eq!(Phase::from_name(b""), None);
    assert_eq!(Phase::from_name(b"parked"), None);
}

proptest! {
    /// Whatever fails how often: what was entered is left, once, in the reverse order, and the domain is suspended at
    /// most once.
    #[test]
    fn any_faults(
        faults in proptest::array::uniform13(0..5u32),
        outcome in proptest::option::of(prop_oneof![Just(Outcome::Restored), Just(Outcome::Cancelled)]),
    ) {
        let mut recorder = Recorder::new(outcome);
        recorder.faults = faults;
        let ended = run(&mut recorder);
        let mut left_to_undo = Vec::new();
        for phase in &recorder.done {
            if let Some(undo) = undo(*phase) {
                left_to_undo.push(undo);
            } else if left_to_undo.contains(phase) {
                // Those that fail for good are skipped, and reported.
                while let Some(undo) = left_to_undo.pop() {
                    if undo == *phase {
                        break;
                    }
                    prop_assert!(ended.trouble.is_some());
                }
            } else {
                prop_assert!(undo_less(*phase), "{phase:?} without what it undoes");
            }
        }
        prop_assert!(left_to_undo.is_empty() || ended.trouble.is_some());
        let suspended = recorder.done.iter().filter(|phase| **phase == Phase::Hypercall);
        prop_assert!(suspended.count() <= 1);
        let rebuilt = recorder.done.iter().any(|phase| matches!(phase, Phase::Platform | Phase::Grants | Phase::Events));
        prop_assert!(!rebuilt || ended.result == Ok(Outcome::Restored));
    }
}

/// Phases that neither undo nor are undone.
fn undo_less(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Save | Phase::Hypercall | Phase::Platform | Phase::Grants | Phase::Events
    )
}
