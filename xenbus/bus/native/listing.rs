// SPDX-License-Identifier: GPL-2.0

//! Which devices there are.

use super::{
    super::presence::{
        self,
        Change, //
    },
    again::until_answered,
    agent::Order,
    AGENTS, //
};
use crate::store::{
    self,
    native::NoIo, //
};
use kernel::{
    prelude::*,
    str::{
        BStr,
        CString, //
    }, //
};

/// Hears of changes below `device`.
pub(super) struct Listing;

impl store::WatchHandler for Listing {
    fn changed(&self, path: &CStr) {
        // Its lock is needed to set disks in motion again.
        let _memory = NoIo::begin();
        match presence::change(path.to_bytes()) {
            Change::All => list_all(),
            Change::Kind(kind) => {
                list_kind(kind);
                AGENTS.lock().look(Some(kind));
            }
            Change::Device(kind, id) => list_device(kind, id),
            Change::Nothing => {}
        }
    }
}

/// Lists the devices of all types, and has all that are known looked at.
fn list_all() {
    match until_answered(|| store::list(c"device", c"")) {
        Ok(kinds) => {
            for kind in &kinds {
                list_kind(kind.to_bytes());
            }
        }
        // There is no device.
        Err(error) if error == ENOENT => {}
        Err(error) => pr_warn!("bus: cannot list the devices ({:?})\n", error),
    }
    let mut agents = AGENTS.lock();
    agents.look(None);
    agents.listed = true;
}

/// Sees to it that each device of a type has an agent.
fn list_kind(kind: &[u8]) {
    if !presence::is_name(kind) {
        return;
    }
    let Ok(name) = CString::try_from_fmt(fmt!("{}", BStr::from_bytes(kind))) else {
        return;
    };
    match until_answered(|| store::list(c"device", &name)) {
        Ok(ids) => {
            for id in &ids {
                list_device(kind, id.to_bytes());
            }
        }
        Err(error) if error == ENOENT => {}
        Err(error) => pr_warn!("bus: cannot list the {} devices ({:?})\n", &*name, error),
    }
}

/// Has a device looked at.
fn list_device(kind: &[u8], id: &[u8]) {
    if !presence::is_device(kind, id) {
        return;
    }
    let mut agents = AGENTS.lock();
    match agents.of(kind, id) {
        Ok(agent) => agents.order(&agent, Order::Look),
        Err(error) => pr_warn!(
            "bus: cannot take on {}/{} ({:?})\n",
            BStr::from_bytes(kind),
            BStr::from_bytes(id),
            error
        ),
    }
}
