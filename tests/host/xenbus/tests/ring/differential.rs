// SPDX-License-Identifier: GPL-2.0

//! The same things done to two rings: one with the driver's front end, one with that of the C macros.

use crate::front::Front;
use proptest::prelude::*;
use reference::Ring;

/// What is done to both.
#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(u32),
    Publish,
    /// Takes up to so many responses.
    Take(u32),
    /// Takes all responses and asks for an event.
    Poll,
    BackTakes(u32),
    BackAnswers(u32),
    BackSleeps,
    /// The back end asks for an event at an index that is this far from the published requests.
    BackAsks(i32),
}

/// Any step, with honest ones more often.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u32..40).prop_map(Step::Claim),
        3 => Just(Step::Publish),
        2 => (1u32..40).prop_map(Step::Take),
        2 => Just(Step::Poll),
        3 => (1u32..40).prop_map(Step::BackTakes),
        3 => (1u32..40).prop_map(Step::BackAnswers),
        2 => Just(Step::BackSleeps),
        1 => prop_oneof![-50..50i32, any::<i32>()].prop_map(Step::BackAsks),
    ]
}

/// The indices at which rings start: mostly such that they wrap during the test.
pub(crate) fn start() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        (0u32..200).prop_map(|before| u32::MAX - before),
        any::<u32>(),
    ]
}

struct Pair {
    front: Front,
    ours: Ring,
    theirs: Ring,
}

impl Pair {
    fn claim(&mut self) -> Result<(), TestCaseError> {
        let claimed = self.front.indices.claim();
        prop_assert_eq!(claimed.is_some(), self.theirs.front_free() > 0);
        if claimed.is_some() {
            self.theirs.front_claim();
        }
        Ok(())
    }

    /// Takes a response from both; false if there is none.
    fn take(&mut self) -> Result<bool, TestCaseError> {
        let expected = self.theirs.front_unconsumed() > 0;
        let taken = self.front.next_response(self.ours.shared());
        prop_assert_eq!(taken.map(|index| index.is_some()), Ok(expected));
        if expected {
            self.theirs.front_consume();
        }
        Ok(expected)
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Claim(count) => (0..count).try_for_each(|_| self.claim())?,
            Step::Publish => {
                let event = self.front.publish(self.ours.shared());
                prop_assert_eq!(event, self.theirs.front_push());
            }
            Step::Take(count) => {
                for _ in 0..count {
                    self.take()?;
                }
            }
            Step::Poll => {
                while self.take()? {}
                let more = self.front.rearm_after(self.ours.shared(), 1);
                prop_assert_eq!(more, Ok(self.theirs.front_final_check()));
            }
            Step::BackTakes(count) => {
                for _ in 0..count.min(self.theirs.back_unconsumed()) {
                    self.ours.back_consume();
                    self.theirs.back_consume();
                }
            }
            Step::BackAnswers(count) => {
                let count = count.min(self.theirs.back_held());
                prop_assert_eq!(
                    self.ours.back_respond(count),
                    self.theirs.back_respond(count)
                );
            }
            Step::BackSleeps => {
                prop_assert_eq!(self.ours.back_final_check(), self.theirs.back_final_check());
            }
            Step::BackAsks(distance) => {
                for ring in [&mut self.ours, &mut self.theirs] {
                    let shared = ring.shared();
                    shared.request_event = shared.request_producer.wrapping_add_signed(distance);
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn front_does_what_the_macros_do(
        at in start(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut pair = Pair {
            front: Front::starting_at(at),
            ours: Ring::starting_at(at),
            theirs: Ring::starting_at(at),
        };
        for step in steps {
            pair.step(step)?;
            prop_assert_eq!(*pair.ours.shared(), *pair.theirs.shared());
            prop_assert_eq!(pair.front.indices.free(), pair.theirs.front_free());
        }
    }
}
