// SPDX-License-Identifier: GPL-2.0

//! The device state machine: each phase with each state, and sequences of them.

use proptest::prelude::*;
use pure_xenbus::state::{
    action,
    Action,
    Phase,
    State, //
};

const STATES: [State; 9] = [
    State::Unknown,
    State::Initialising,
    State::InitWait,
    State::Initialised,
    State::Connected,
    State::Closing,
    State::Closed,
    State::Reconfiguring,
    State::Reconfigured,
];

const PHASES: [Phase; 6] = [
    Phase::Disconnected,
    Phase::Offered,
    Phase::Live,
    Phase::Parked,
    Phase::Failed,
    Phase::Closed,
];

#[test]
fn numbers_are_those_of_the_protocol() {
    assert_eq!(STATES.map(State::number), reference::states());
    for state in STATES {
        assert_eq!(State::from_number(state.number()), state);
    }
}

#[test]
fn every_phase_with_every_state() {
    use Action::{
        Close as X,
        Connect as C,
        GoLive as L,
        Ignore as I,
        Refresh as R, //
    };
    // Unknown, Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured.
    let table = [
        (Phase::Disconnected, [I, I, C, I, I, X, I, I, I]),
        (Phase::Offered, [I, I, I, I, L, X, X, I, I]),
        (Phase::Live, [I, I, I, I, R, X, X, I, I]),
        (Phase::Parked, [I, I, I, I, I, X, X, I, I]),
        (Phase::Failed, [I, I, C, I, I, X, X, I, I]),
        (Phase::Closed, [I, I, C, I, I, I, I, I, I]),
    ];
    for (phase, row) in table {
        for (state, expected) in STATES.into_iter().zip(row) {
            assert_eq!(
                action(phase, state),
                expected,
                "{phase:?}, backend {state:?}"
            );
        }
    }
}

#[test]
fn an_honest_backend_is_followed_from_hotplug_to_unplug() {
    let mut frontend = Frontend::new();
    for (state, phase) in [
        (State::Initialising, Phase::Disconnected),
        (State::InitWait, Phase::Offered),
        (State::InitWait, Phase::Offered),
        (State::Initialised, Phase::Offered),
        (State::Connected, Phase::Live),
        (State::Connected, Phase::Live),
        (State::Closing, Phase::Closed),
        (State::Closed, Phase::Closed),
        (State::Unknown, Phase::Closed),
    ] {
        frontend.backend(state);
        assert_eq!(frontend.phase, phase, "after {state:?}");
    }
    assert_eq!(frontend.refreshes, 1);
    assert_eq!(frontend.closes, 1);
}

/// A frontend reduced to its connection; it follows the actions as blkfront/frontend.rs does.
#[derive(Debug)]
struct Frontend {
    phase: Phase,
    /// A ring that the backend was told of and has not connected to.
    offered: bool,
    /// A ring in operation.
    live: bool,
    refreshes: u32,
    closes: u32,
}

impl Frontend {
    fn new() -> Self {
        Self {
            phase: Phase::Disconnected,
            offered: false,
            live: false,
            refreshes: 0,
            closes: 0,
        }
    }

    /// The backend's state was written. Panics where an action does not fit the connection.
    fn backend(&mut self, state: State) -> Action {
        let action = action(self.phase, state);
        match action {
            Action::Ignore => {}
            Action::Connect => {
                assert!(!self.live && !self.offered, "a second connection");
                self.offered = true;
                self.phase = Phase::Offered;
            }
            Action::GoLive => {
                assert!(self.offered && !self.live, "live without an offer");
                (self.offered, self.live) = (false, true);
                self.phase = Phase::Live;
            }
            Action::Refresh => {
                assert!(self.live, "refreshed without a connection");
                self.refreshes += 1;
            }
            Action::Close => {
                assert_ne!(self.phase, Phase::Closed, "closed twice");
                (self.offered, self.live) = (false, false);
                self.closes += 1;
                self.phase = Phase::Closed;
            }
        }
        action
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Backend(number) => {
                self.backend(State::from_number(number));
            }
            Event::Park if self.phase == Phase::Live => self.phase = Phase::Parked,
            Event::Unpark if self.phase == Phase::Parked => self.phase = Phase::Live,
            Event::Restored => {
                (self.offered, self.live) = (false, false);
                self.phase = Phase::Disconnected;
            }
            // What a failure leaves is dropped before the next connection.
            Event::Fails if matches!(self.phase, Phase::Offered | Phase::Live) => {
                (self.offered, self.live) = (false, false);
                self.phase = Phase::Failed;
            }
            Event::Park | Event::Unpark | Event::Fails => {}
        }
    }
}

/// What can happen to a frontend.
#[derive(Clone, Copy, Debug)]
enum Event {
    Backend(u32),
    Park,
    Unpark,
    Restored,
    Fails,
}

/// A state node's number: mostly one that exists.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![9 => 0u32..9, 1 => any::<u32>()]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => number().prop_map(Event::Backend),
        1 => Just(Event::Park),
        1 => Just(Event::Unpark),
        1 => Just(Event::Restored),
        1 => Just(Event::Fails),
    ]
}

proptest! {
    #[test]
    fn other_numbers_are_unknown_and_ignored(number in 9..=u32::MAX) {
        prop_assert_eq!(State::from_number(number), State::Unknown);
        for phase in PHASES {
            prop_assert_eq!(action(phase, State::from_number(number)), Action::Ignore);
        }
    }

    #[test]
    fn no_sequence_breaks_a_connection_or_makes_a_second(events in prop::collection::vec(event(), 1..100)) {
        let mut frontend = Frontend::new();
        for event in events {
            frontend.happens(event);
            prop_assert_eq!(frontend.offered, frontend.phase == Phase::Offered);
            prop_assert_eq!(frontend.live, matches!(frontend.phase, Phase::Live | Phase::Parked));
        }
    }

    #[test]
    fn after_a_close_only_a_fresh_offer_reconnects(
        before in prop::collection::vec(event(), 0..30),
        after in prop::collection::vec(number(), 1..50),
    ) {
        let mut frontend = Frontend::new();
        before.into_iter().for_each(|event| frontend.happens(event));
        frontend.backend(State::Closing);
        prop_assert_eq!(frontend.phase, Phase::Closed);
        for number in after.into_iter().map(State::from_number).filter(|state| *state != State::InitWait) {
            prop_assert_eq!(frontend.backend(number), Action::Ignore);
            prop_assert_eq!(frontend.phase, Phase::Closed);
        }
        prop_assert_eq!(frontend.backend(State::InitWait), Action::Connect);
        prop_assert_eq!(frontend.backend(State::Connected), Action::GoLive);
    }

    /// Whatever came before, an honest backend after a restore is connected to.
    #[test]
    fn a_restored_device_connects(before in prop::collection::vec(event(), 0..60), closed: bool) {
        let mut frontend = Frontend::new();
        before.into_iter().for_each(|event| frontend.happens(event));
        frontend.happens(Event::Restored);
        // The backend's state of before it saw us.
        let early = if closed { State::Closed } else { State::Initialising };
        prop_assert_eq!(frontend.backend(early), Action::Ignore);
        prop_assert_eq!(frontend.backend(State::InitWait), Action::Connect);
        prop_assert_eq!(frontend.backend(State::Connected), Action::GoLive);
    }

    /// A failed device comes back with a fresh offer, and can be closed in any case.
    #[test]
    fn a_failed_device_is_not_stuck(numbers in prop::collection::vec(number(), 0..20)) {
        let mut frontend = Frontend { phase: Phase::Failed, ..Frontend::new() };
        for state in numbers.into_iter().map(State::from_number) {
            if matches!(state, State::InitWait | State::Closing | State::Closed) {
                continue;
            }
            prop_assert_eq!(frontend.backend(state), Action::Ignore);
        }
        prop_assert_eq!(action(frontend.phase, State::Closing), Action::Close);
        prop_assert_eq!(action(frontend.phase, State::Closed), Action::Close);
        prop_assert_eq!(frontend.backend(State::InitWait), Action::Connect);
        prop_assert_eq!(frontend.backend(State::Connected), Action::GoLive);
    }
}
