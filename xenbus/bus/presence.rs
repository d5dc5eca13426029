// SPDX-License-Identifier: GPL-2.0

//! Which devices there are: pure, tested on the build machine.
//!
//! The toolstack makes a device by making its folder `device/<type>/<id>`, with a `state` of Initialising, and ends it by
//! removing the folder. All that a watch on `device` says is a path below which something has changed; what that means
//! is decided by comparing what is there now with what is known. So events may be merged, repeated or late.

use super::state::State;

/// The folder of all devices.
pub const ROOT: &[u8] = b"device";
/// The longest name of a type or of an id.
pub const LONGEST: usize = 31;

/// What a changed path concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Any device.
    All,
    /// Any device of a type.
    Kind(&'a [u8]),
    /// One device.
    Device(&'a [u8], &'a [u8]),
    /// None: a node that has nothing to do with which devices there are, or no path of a device.
    Nothing,
}

/// Tells what a changed path concerns.
pub fn change(path: &[u8]) -> Change<'_> {
    let mut parts = path.split(|byte| *byte == b'/');
    if parts.next() != Some(ROOT) {
        return Change::Nothing;
    }
    let Some(kind) = parts.next() else {
        return Change::All;
    };
    if !is_name(kind) {
        return Change::Nothing;
    }
    let Some(id) = parts.next() else {
        return Change::Kind(kind);
    };
    if !is_device(kind, id) {
        return Change::Nothing;
    }
    match (parts.next(), parts.next()) {
        (None, _) => Change::Device(kind, id),
        // Drivers write many nodes; these are the ones that a decision depends on.
        (Some(b"state" | b"backend" | b"backend-id"), None) => Change::Device(kind, id),
        _ => Change::Nothing,
    }
}

/// Whether a name can be that of a type or of an id. It becomes part of a name in sysfs and of paths in xenstore.
pub fn is_name(name: &[u8]) -> bool {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_@+:.".contains(byte);
    (1..=LONGEST).contains(&name.len())
        && name.iter().all(legal)
        && name.iter().any(|byte| *byte != b'.')
}

/// Whether `device/<kind>/<id>` can be a device.
pub fn is_device(kind: &[u8], id: &[u8]) -> bool {
    // The console that every guest has is no device of the bus; old toolstacks list it.
    is_name(kind) && is_name(id) && !(kind == b"console" && id == b"0")
}

/// What xenstore says of a device's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The node `state`.
    pub state: State,
    /// Whether `backend` and `backend-id` name the other end that is known, or none is.
    pub same_otherend: bool,
}

/// What is known of a device that is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Our state, as last written.
    pub state: State,
}

/// Whether our state may be written over the one that is seen in the node, [`None`] without a node.
///
/// A folder that is gone is not made again by writing to it, and a state that the toolstack has set back is that of a
/// new device. Anything else in our own node is overwritten.
pub fn may_write(known: State, seen: Option<State>) -> bool {
    match seen {
        None => false,
        Some(State::Initialising) => known == State::Initialising,
        Some(_) => true,
    }
}

/// What to do about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// It is new: register it.
    Add,
    /// It is gone: unregister it.
    Remove,
    /// It is gone, and there is a new one in its place: both.
    Replace,
}

/// Decides.
///
/// `starting` is true while the devices are listed for the first time: then one in any state is new to us. Later, only
/// Initialising makes a new device; a folder in another state is one on its way out.
pub fn step(known: Option<Known>, seen: Option<Seen>, starting: bool) -> Step {
    match (known, seen) {
        (None, None) => Step::Keep,
        (Some(_), None) => Step::Remove,
        (None, Some(seen)) => {
            if seen.state == State::Initialising || starting && seen.state != State::Unknown {
                Step::Add
            } else {
                Step::Keep
            }
        }
        (Some(known), Some(seen)) => {
            // The toolstack has set the state back, which it does for a device that it made anew, for instance after
            // the backend's domain has crashed. If ours is the same, another backend is the only sign.
            let reset = seen.state == State::Initialising;
            if reset && (known.state != State::Initialising || !seen.same_otherend) {
                Step::Replace
            } else {
                Step::Keep
            }
        }
    }
}
