// SPDX-License-Identifier: GPL-2.0

//! What is said between the two ends of a device, in xenstore.

use super::{
    super::{
        presence,
        State, //
    },
    again::passes,
    agent_of,
    device::Body,
    Device, //
};
use crate::store::{
    self,
    value::BadValue, //
};
use kernel::{
    fmt,
    prelude::*,
    str::CString,
    time::Delta, //
};
use rxen_bindings as bindings;

// In the tests it is a module of its own crate.
#[allow(unreachable_pub)]
mod otherend;

const _: () = assert!(*otherend::DOMIDS.end() + 1 == bindings::DOMID_FIRST_RESERVED as u64);

/// How long a backend may take for each step when the state of an earlier driver is cleared away.
const RESET: Delta = Delta::from_secs(5);

/// The other end of a device.
pub(super) struct Otherend {
    /// The path of its half.
    pub(super) path: CString,
    /// Its domain.
    pub(super) domid: u16,
}

impl PartialEq for Otherend {
    fn eq(&self, other: &Self) -> bool {
        *self.path == *other.path && self.domid == other.domid
    }
}

impl Otherend {
    /// Reads who is the other end of a device.
    ///
    /// # Errors
    ///
    /// `ENOENT` if one of the nodes is absent, `EINVAL` after a line in the log if one says nothing that can be, and what
    /// xenstored says.
    pub(super) fn read(nodename: &CStr) -> Result<Self> {
        let read = |node| store::read(nodename, node);
        let (domid, path) = (read(c"backend-id")?, read(c"backend")?);
        let bad = |node, why: BadValue| {
            pr_err!("bus: {nodename}: {node}: {why:?}, so the other end is unknown\n");
            EINVAL
        };
        let domid = otherend::domid(&domid).map_err(|why| bad("backend-id", why))?;
        let path = otherend::path(&path).map_err(|why| bad("backend", why))?;
        Ok(Self {
            path: CString::try_from_fmt(fmt!("{path}"))?,
            domid,
        })
    }

    /// Reads who is the other end of a device, and whether its half is there: an error if one of the two cannot be read,
    /// `ETIMEDOUT` if there was no answer.
    pub(super) fn find(nodename: &CStr) -> (Option<Self>, Result<bool>) {
        match Self::read(nodename) {
            Ok(otherend) => {
                let there = exists(&otherend.path);
                (Some(otherend), there)
            }
            Err(error) => (None, Err(error)),
        }
    }

    /// The path of its state node.
    pub(super) fn state_path(&self) -> Result<CString> {
        CString::try_from_fmt(fmt!("{}/state", &*self.path))
    }
}

/// Whether a folder exists.
///
/// # Errors
///
/// What xenstored says other than that it does not, or that there was no answer.
pub(super) fn exists(path: &CStr) -> Result<bool> {
    match store::read(path, c"") {
        Ok(_) => Ok(true),
        Err(error) if error == ENOENT => Ok(false),
        Err(error) => Err(error),
    }
}

/// The state in a folder: [`None`] if there is none, Unknown if there is one that cannot be understood.
///
/// # Errors
///
/// What xenstored says other than that there is none, or that there was no answer.
pub(super) fn read_state(path: &CStr) -> Result<Option<State>> {
    match store::read(path, c"state") {
        Ok(value) => Ok(Some(understand(&value))),
        Err(error) if error == ENOENT => Ok(None),
        Err(error) => Err(error),
    }
}

/// The state that a node holds.
fn understand(value: &[u8]) -> State {
    let number = store::value::number(value, &(0..=u64::from(u32::MAX))).ok();
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.map_or(State::Unknown, State::from_number)
}

/// Reads the other end's state; Unknown for a device whose folder is not ours any more: what is at the same path now has
/// nothing to do with it.
///
/// # Errors
///
/// As [`read_state`].
pub(super) fn read_otherend_state(device: &Device) -> Result<State> {
    if Body::of(device).is_vanished() {
        return Ok(State::Unknown);
    }
    let state = read_state(&device.otherend()?)?;
    Ok(state.unwrap_or(State::Unknown))
}

/// As [`read_otherend_state`]; Unknown if there is none, or none that may be read.
///
/// # Errors
///
/// One that [`passes`]: nobody says what the state is.
pub(in super::super) fn otherend_state(device: &Device) -> Result<State> {
    match read_otherend_state(device) {
        Err(error) if !passes(error) => Ok(State::Unknown),
        state => state,
    }
}

/// Writes our state.
///
/// A state that was set back by the toolstack is left alone, as is a folder that is gone: they are not ours any more.
pub(in super::super) fn switch_state(device: &Device, state: State) -> Result {
    let body = Body::of(device);
    let _state = agent_of(device).state.lock();
    let last = body.state();
    if state == last || body.is_vanished() {
        return Ok(());
    }
    let mut ours = true;
    store::transaction(|open| {
        let now = match store::read_in(open, device.nodename(), c"state") {
            Ok(now) => Some(understand(&now)),
            Err(error) if error == ENOENT => None,
            Err(error) => return Err(error),
        };
        ours = presence::may_write(last, now);
        if !ours {
            return Ok(());
        }
        store::write(
            Some(open),
            device.nodename(),
            c"state",
            fmt!("{}", state.number()),
        )
    })
    .inspect_err(|cause| error(device, *cause, fmt!("cannot write state {}", state.name())))?;
    if ours {
        body.set_state(state);
    }
    Ok(())
}

/// Says Closed.
pub(in super::super) fn closed(device: &Device) {
    // An error is in the log already.
    let _ = switch_state(device, State::Closed);
}

/// Logs an error and writes the `error` node, both in the form that the C core gives them.
pub(in super::super) fn error(device: &Device, error: Error, what: fmt::Arguments<'_>) {
    let number = -error.to_errno();
    dev_err!(device.as_ref(), "{} {}\n", number, what);
    if let Ok(path) = CString::try_from_fmt(fmt!("error/{}", device.nodename())) {
        // There is nobody left to tell.
        let _ = store::write(None, &path, c"error", fmt!("{} {}", number, what));
    }
}

/// As [`error`], and switches to Closing.
pub(in super::super) fn fatal(device: &Device, cause: Error, what: fmt::Arguments<'_>) {
    error(device, cause, what);
    let _ = switch_state(device, State::Closing);
}

/// Clears away what an earlier driver has left, before a device is registered: takes leave of the backend in its place,
/// so that it is ready for a new start. Returns the state that the device is in afterwards.
///
/// # Errors
///
/// One that [`passes`], before anything was done.
pub(super) fn reset(nodename: &CStr, state: State) -> Result<State> {
    if matches!(state, State::Unknown | State::Initialising | State::Closed) {
        return Ok(state);
    }
    let otherend = match Otherend::read(nodename) {
        Ok(otherend) => otherend,
        Err(error) if passes(error) => return Err(error),
        Err(_) => return Ok(state),
    };
    pr_info!(
        "bus: {}: state {} of an earlier driver is cleared away\n",
        nodename,
        state.name()
    );
    for (ours, theirs) in [
        (State::Closing, State::Closing),
        (State::Closed, State::Closed),
    ] {
        let written = store::write(None, nodename, c"state", fmt!("{}", ours.number()));
        let follows = || match read_state(&otherend.path) {
            Ok(Some(now)) => now == theirs || matches!(now, State::Closed | State::Unknown),
            Ok(None) => true,
            Err(error) => !passes(error),
        };
        if written.is_err() || !super::wait(RESET, follows) {
            pr_warn!(
                "bus: {}: the backend does not answer to {}\n",
                nodename,
                ours.name()
            );
        }
    }
    Ok(State::Closed)
}
