// SPDX-License-Identifier: GPL-2.0

//! Reads what the backend and the toolstack published.

use crate::{
    negotiate::{
        self,
        Offers, //
    },
    net::MacAddress, //
};
use kernel::prelude::*;
use rxenbus::{
    bus::Device,
    store, //
};

/// Reads all nodes of the backend's half. May sleep.
///
/// # Errors
///
/// Where a node cannot be read, what the store says.
pub(crate) fn read(otherend: &CStr) -> Result<Offers> {
    let flag = |node: &CStr| store::read_flag(otherend, node);
    Offers::gather(flag)
}

/// Reads the hardware address that the toolstack gave the device. May sleep.
///
/// # Errors
///
/// `EINVAL` where it is none; what xenstored says.
pub(crate) fn mac(device: &Device) -> Result<MacAddress> {
    let text = store::read(device.nodename(), c"mac")?;
    negotiate::parse_mac(&text).map(MacAddress).ok_or(EINVAL)
}

/// Reads the MTU that the toolstack wishes for; [`None`] if it does not, or, after a line in the log, for one that cannot
/// be. May sleep.
///
/// # Errors
///
/// Where the node cannot be read, what the store says.
pub(crate) fn mtu(device: &Device) -> Result<Option<u32>> {
    let range = u64::from(negotiate::SMALLEST_MTU)..=u64::from(negotiate::LARGE_MTU);
    match store::read_number(device.nodename(), c"mtu", range) {
        Ok(mtu) => Ok(mtu.and_then(|mtu| u32::try_from(mtu).ok())),
        Err(error) if error == EINVAL => Ok(None),
        Err(error) => Err(error),
    }
}
