// SPDX-License-Identifier: GPL-2.0

//! The state of a bound port.

use core::cell::Cell;
use proptest::prelude::*;
use pure_xenbus::evtchn::port::{
    End,
    Ports,
    Reason,
    Refused,
    State, //
};

const REASONS: [Reason; 3] = [Reason::Disabled, Reason::Moving, Reason::Handling];

/// One port, and how often each thing was done to it.
#[derive(Default)]
struct Port {
    unmasked: Cell<bool>,
    pending: Cell<bool>,
    touched: Cell<u32>,
    /// How often unmasking is refused from now on.
    refusals: Cell<u32>,
}

impl Port {
    fn touch(&self, port: u32) {
        assert_eq!(port, 5);
        self.touched.set(self.touched.get() + 1);
    }
}

impl Ports for Port {
    fn mask(&self, port: u32) {
        self.touch(port);
        self.unmasked.set(false);
    }

    fn unmask(&self, port: u32) -> Result<(), Refused> {
        self.touch(port);
        if let Some(left) = self.refusals.get().checked_sub(1) {
            self.refusals.set(left);
            return Err(Refused);
        }
        self.unmasked.set(true);
        Ok(())
    }

    fn clear(&self, port: u32) {
        self.touch(port);
        self.pending.set(false);
    }

    fn pretend(&self, port: u32) {
        self.touch(port);
        assert!(!self.unmasked.get(), "raised by unmasking only");
        self.pending.set(true);
    }
}

#[test]
fn unmasking_that_was_refused_is_tried_again_and_waits_for_other_reasons() {
    let (port, mut state) = (Port::default(), State::new());
    state.bind(5);
    port.refusals.set(2);
    state.unmask(&port, Reason::Disabled);
    assert!(state.take_refusal() && !state.take_refusal());
    state.unmask(&port, Reason::Refused);
    assert!(state.take_refusal() && !port.unmasked.get());
    state.mask(&port, Reason::Moving);
    state.unmask(&port, Reason::Moving);
    assert!(!port.unmasked.get(), "that is not asked for again at once");
    state.mask(&port, Reason::Disabled);
    state.unmask(&port, Reason::Refused);
    assert!(!port.unmasked.get());
    state.unmask(&port, Reason::Disabled);
    assert!(port.unmasked.get() && !state.take_refusal());
    // Later tries find that it is done.
    let touched = port.touched.get();
    state.unmask(&port, Reason::Refused);
    assert_eq!(port.touched.get(), touched);
}

#[test]
fn a_refusal_does_not_outlive_the_port() {
    let (port, mut state) = (Port::default(), State::new());
    let ends: [fn(&mut State, &Port) -> u32; 2] =
        [|state, port| state.unbind(port), |state, _| state.forget()];
    for end in ends {
        state.bind(5);
        port.refusals.set(1);
        state.unmask(&port, Reason::Disabled);
        end(&mut state, &port);
        let touched = port.touched.get();
        assert!(!state.take_refusal());
        state.unmask(&port, Reason::Refused);
        assert_eq!(port.touched.get(), touched);
    }
}

#[test]
fn a_line_that_is_bound_again_has_events_unless_its_interrupt_is_disabled() {
    for (disabled, put_off) in [(true, false), (true, true), (false, false), (false, true)] {
        let (port, mut state) = (Port::default(), State::new());
        state.bind(5);
        state.unmask(&port, Reason::Disabled);
        state.acknowledge(&port, Reason::Handling);
        if put_off {
            assert_eq!(state.end(false, 7, 100), End::After(7));
        }
        if disabled {
            state.mask(&port, Reason::Disabled);
        }
        state.forget();
        let new = Port::default();
        state.rebind(&new, 5);
        assert_eq!(new.unmasked.get(), !disabled);
        // The timer of before is of no meaning any more.
        assert!(!state.ripe());
        state.unmask(&new, Reason::Handling);
        state.unmask(&new, Reason::Disabled);
        assert!(new.unmasked.get());
    }
}

#[test]
fn a_line_that_is_bound_again_is_tried_again_where_unmasking_is_refused() {
    let (port, mut state) = (Port::default(), State::new());
    state.bind(5);
    state.unmask(&port, Reason::Disabled);
    state.forget();
    port.refusals.set(1);
    state.rebind(&port, 5);
    assert!(state.take_refusal());
    state.unmask(&port, Reason::Refused);
    assert!(port.unmasked.get());
}

#[test]
fn a_port_is_masked_until_its_interrupt_is_enabled() {
    let (port, mut state) = (Port::default(), State::new());
    state.bind(5);
    assert_eq!((state.port(), port.touched.get()), (5, 0));
    state.unmask(&port, Reason::Disabled);
    assert!(port.unmasked.get());
    assert_eq!(state.unbind(&port), 5);
    assert!(!port.unmasked.get());
    assert_eq!(state.unbind(&port), 0);
}

#[test]
fn an_interrupt_without_a_port_touches_none() {
    let (port, mut state) = (Port::default(), State::new());
    state.bind(5);
    assert_eq!(state.forget(), 5);
    for reason in REASONS {
        state.unmask(&port, reason);
        state.mask(&port, reason);
        state.acknowledge(&port, reason);
        state.unmask(&port, reason);
    }
    assert!(!state.retrigger(&port));
    assert_eq!((state.port(), port.touched.get()), (0, 0));
}

#[test]
fn an_interrupt_that_was_put_off_ends_once() {
    let mut state = State::new();
    state.bind(5);
    assert_eq!(state.end(true, 0, 100), End::Now);
    assert_eq!(state.end(true, 0, 100), End::After(1));
    assert_eq!(state.end(false, 0, 100), End::Decided);
    assert!(state.ripe());
    assert!(!state.ripe());
    assert_eq!(state.end(false, 10, 100), End::After(10));
    // A new port starts anew.
    state.bind(5);
    assert!(!state.ripe());
    assert_eq!(state.end(true, 0, 100), End::Now);
}

#[test]
fn raising_by_hand_works_whether_it_is_masked_or_not() {
    let (port, mut state) = (Port::default(), State::new());
    state.bind(5);
    assert!(state.retrigger(&port));
    assert!(port.pending.get() && !port.unmasked.get());
    state.unmask(&port, Reason::Disabled);
    port.pending.set(false);
    assert!(state.retrigger(&port));
    assert!(port.pending.get() && port.unmasked.get());
}

proptest! {
    #[test]
    fn it_is_unmasked_exactly_when_no_reason_is_left(
        steps in proptest::collection::vec((any::<bool>(), 0..3usize), 0..100),
    ) {
        let (port, mut state) = (Port::default(), State::new());
        state.bind(5);
        let mut reasons = [true, false, false];
        for (add, index) in steps {
            if add {
                state.mask(&port, REASONS[index]);
            } else {
                state.unmask(&port, REASONS[index]);
            }
            reasons[index] = add;
            prop_assert_eq!(port.unmasked.get(), reasons == [false; 3]);
        }
    }
}
