// SPDX-License-Identifier: GPL-2.0

//! The version of the table, as hypervisors of all ages tell it.

use pure_xenbus::grant::version::{
    choose,
    Chosen,
    Hypervisor,
    Unknown,
    Version, //
};
use std::cell::Cell;

/// An error of the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Error {
    Busy,
    Unknown,
    Denied,
}

/// A hypervisor with a table of this version.
struct Xen {
    version: Cell<u32>,
    // What it says to a wish instead of fulfilling it.
    set: Option<Error>,
    // What it says to the question instead of an answer.
    get: Option<Error>,
}

impl Hypervisor for Xen {
    type Error = Error;

    fn set_version(&self, number: u32) -> Result<u32, Error> {
        self.set.map_or(Ok(()), Err)?;
        self.version.set(number);
        Ok(number)
    }

    fn version(&self) -> Result<Option<u32>, Error> {
        match self.get {
            None => Ok(Some(self.version.get())),
            Some(Error::Unknown) => Ok(None),
            Some(error) => Err(error),
        }
    }
}

fn xen(version: u32, set: Option<Error>, get: Option<Error>) -> Xen {
    Xen {
        version: Cell::new(version),
        set,
        get,
    }
}

#[test]
fn what_can_be_had_is_had() {
    for (wanted, version) in [(1, Version::V1), (2, Version::V2)] {
        let xen = xen(3 - wanted, None, None);
        let expected = Chosen {
            version,
            refused: None,
        };
        assert_eq!(choose(&xen, wanted), Ok(expected));
        assert_eq!(xen.version.get(), version.number());
    }
}

#[test]
fn one_in_use_stays_as_it_is() {
    for (used, version) in [(1, Version::V1), (2, Version::V2)] {
        let expected = Chosen {
            version,
            refused: Some(Error::Busy),
        };
        assert_eq!(
            choose(&xen(used, Some(Error::Busy), None), 3 - used),
            Ok(expected)
        );
    }
}

#[test]
fn who_does_not_know_the_question_has_the_first() {
    let old = xen(1, Some(Error::Unknown), Some(Error::Unknown));
    let expected = Chosen {
        version: Version::V1,
        refused: Some(Error::Unknown),
    };
    assert_eq!(choose(&old, 2), Ok(expected));
}

#[test]
fn a_wish_that_was_fulfilled_needs_no_question() {
    let silent = xen(1, None, Some(Error::Denied));
    assert_eq!(
        choose(&silent, 2).map(|chosen| chosen.version),
        Ok(Version::V2)
    );
}

#[test]
fn g5_a_version_that_is_not_told_is_not_guessed() {
    let silent = xen(2, Some(Error::Denied), Some(Error::Denied));
    assert_eq!(choose(&silent, 1), Err(Unknown::Untold(Error::Denied)));
    for strange in [0, 3, u32::MAX] {
        assert_eq!(
            choose(&xen(strange, Some(Error::Busy), None), 1),
            Err(Unknown::Strange(strange))
        );
    }
}
