// SPDX-License-Identifier: GPL-2.0

//! A back end that writes whatever it likes into the response producer.

use crate::differential::start;
use proptest::prelude::*;
use pure_xenbus::indices::{
    Corrupt,
    Indices, //
};

/// What happens to the front end.
#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(u32),
    Publish,
    Take(u32),
    /// The producer index that the back end shows, against the responses that were taken.
    Claims(i32),
    /// The same, without relation to anything.
    Garbage(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1u32..40).prop_map(Step::Claim),
        2 => Just(Step::Publish),
        2 => (1u32..40).prop_map(Step::Take),
        4 => (-40..80i32).prop_map(Step::Claims),
        1 => any::<u32>().prop_map(Step::Garbage),
    ]
}

/// How many of each there have been, without wraparound.
struct Model {
    indices: Indices,
    at: u32,
    claimed: u64,
    published: u64,
    learned: u64,
    taken: u64,
}

impl Model {
    fn new(size: u32, at: u32) -> Self {
        Self {
            indices: Indices::starting_at(size, at),
            at,
            claimed: 0,
            published: 0,
            learned: 0,
            taken: 0,
        }
    }

    /// The index after so many.
    fn index(&self, count: u64) -> u32 {
        self.at.wrapping_add(count as u32)
    }

    fn learn(&mut self, shown: u32) -> Result<(), TestCaseError> {
        // Believable is what lies between what it claimed before and what it was asked.
        let believable = (self.learned..=self.published).find(|count| self.index(*count) == shown);
        let before = self.indices;
        let learned = self.indices.learn(shown);
        match believable {
            Some(count) => {
                prop_assert_eq!(learned, Ok(()));
                self.learned = count;
            }
            None => {
                let outstanding = (self.published - self.taken) as u32;
                prop_assert_eq!(
                    learned,
                    Err(Corrupt {
                        claimed: shown,
                        outstanding
                    })
                );
                prop_assert_eq!(self.indices, before);
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<(), TestCaseError> {
        let expected = (self.taken < self.learned).then(|| self.index(self.taken));
        prop_assert_eq!(self.indices.next_known(), expected);
        self.taken += u64::from(expected.is_some());
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Claim(count) => {
                for _ in 0..count {
                    let room = self.claimed - self.taken < u64::from(self.indices.size());
                    let expected = room.then(|| self.index(self.claimed));
                    prop_assert_eq!(self.indices.claim(), expected);
                    self.claimed += u64::from(room);
                }
            }
            Step::Publish => {
                self.published = self.claimed;
                prop_assert_eq!(self.indices.publish(), self.index(self.published));
            }
            Step::Take(count) => (0..count).try_for_each(|_| self.take())?,
            Step::Claims(distance) => {
                self.learn(self.index(self.taken).wrapping_add_signed(distance))?;
            }
            Step::Garbage(shown) => self.learn(shown)?,
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let indices = &self.indices;
        prop_assert!(self.taken <= self.published, "more responses than requests");
        prop_assert_eq!(u64::from(indices.known()), self.learned - self.taken);
        prop_assert_eq!(u64::from(indices.unanswered()), self.claimed - self.taken);
        prop_assert_eq!(
            u64::from(indices.unpublished()),
            self.claimed - self.published
        );
        prop_assert_eq!(indices.request_producer(), self.index(self.claimed));
        prop_assert_eq!(indices.free(), indices.size() - indices.unanswered());
        prop_assert_eq!(
            indices.request_producer_published(),
            self.index(self.published)
        );
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_claim_gives_more_responses_than_requests(
        size in prop_oneof![Just(32u32), Just(256u32), 1..64u32],
        at in start(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut model = Model::new(size, at);
        for step in steps {
            model.step(step)?;
            model.check()?;
        }
    }

    /// Requests that were put in slots but not published cannot have responses.
    #[test]
    fn unpublished_requests_have_no_responses(at in start(), count in 1u32..=32, ahead in 1u32..=32) {
        let mut indices = Indices::starting_at(32, at);
        for _ in 0..count {
            indices.claim();
        }
        let claimed = at.wrapping_add(ahead.min(count));
        prop_assert_eq!(indices.learn(claimed), Err(Corrupt { claimed, outstanding: 0 }));
        prop_assert_eq!(indices.next_known(), None);
    }

    /// A producer that goes back is refused even where the result would be a small number of responses.
    #[test]
    fn the_producer_does_not_go_back(at in start(), first in 2u32..=32, taken in 0u32..32, back in 1u32..32) {
        let (taken, back) = (taken % first, back.min(first));
        let mut indices = Indices::starting_at(32, at);
        for _ in 0..32 {
            indices.claim();
        }
        indices.publish();
        prop_assert_eq!(indices.learn(at.wrapping_add(first)), Ok(()));
        for _ in 0..taken {
            indices.next_known();
        }
        let claimed = at.wrapping_add(first - back);
        prop_assert_eq!(indices.learn(claimed), Err(Corrupt { claimed, outstanding: 32 - taken }));
        prop_assert_eq!(indices.known(), first - taken);
    }
}
