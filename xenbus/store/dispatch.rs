// SPDX-License-Identifier: GPL-2.0

//! Which watch an event is for, and what is kept of it: pure, tested on the build machine.

use super::{
    backlog::Backlog,
    wire::{
        self,
        Token, //
    }, //
};
use core::ops::DerefMut;

/// Why an event is for no watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// It is not a path and a token.
    Malformed,
    /// There is no watch with this token, or not any more.
    Unknown,
}

/// Finds the watch that an event is for, among all watches in the order of their tokens; returns it and the path that has
/// changed.
///
/// # Errors
///
/// [`Nobody`].
pub fn find<'w, 'p, W>(
    watches: &'w [W],
    token: impl Fn(&W) -> Token,
    payload: &'p [u8],
) -> Result<(&'w W, &'p [u8]), Nobody> {
    let (path, text) = wire::two_strings(payload).ok_or(Nobody::Malformed)?;
    let place =
        Token::parse(text).and_then(|wanted| watches.binary_search_by_key(&wanted, token).ok());
    let watch = place.and_then(|place| watches.get(place));
    Ok((watch.ok_or(Nobody::Unknown)?, path))
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Its path is in the backlog.
    Whole,
    /// There were too many, so it is part of the one event that stands for all further ones.
    Merged,
    /// So it is because its path lies outside of what is watched.
    Foreign,
    /// So it is for want of memory.
    NoMemory,
}

/// Puts an event of a watch into its backlog; `copy` copies the path. The handler is to be called whatever is returned.
pub fn keep<T, S: DerefMut<Target = [Option<T>]>>(
    backlog: &mut Backlog<T, S>,
    watched: &[u8],
    path: &[u8],
    copy: impl FnOnce(&[u8]) -> Option<T>,
) -> Kept {
    if !wire::is_below(watched, path) {
        backlog.overflow();
        return Kept::Foreign;
    }
    let Some(path) = copy(path) else {
        backlog.overflow();
        return Kept::NoMemory;
    };
    if backlog.push(path) {
        Kept::Whole
    } else {
        Kept::Merged
    }
}
