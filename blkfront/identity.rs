// SPDX-License-Identifier: GPL-2.0

//! Which disk a device is.

use kernel::prelude::*;
use rxenbus::{
    bus::Device,
    platform,
    store, //
};

/// The number at the end of a device's path, such as 51712 of `device/vbd/51712`.
pub(crate) fn virtual_device(device: &Device) -> Result<u32> {
    let number = store::read_number(
        device.nodename(),
        c"virtual-device",
        0..=u64::from(u32::MAX),
    )?;
    number
        .and_then(|number| u32::try_from(number).ok())
        .ok_or(ENOENT)
}

/// Whether a disk is one that the device model emulates too, and that is therefore not driven here.
pub(crate) fn is_emulated(device: &Device, number: u32) -> Result<bool> {
    if !platform::has_device_model() {
        return Ok(false);
    }
    let cdrom = match store::read(device.nodename(), c"device-type") {
        Ok(kind) => kind.starts_with(b"cdrom"),
        Err(error) if error == ENOENT => false,
        Err(error) => return Err(error),
    };
    Ok(cdrom || platform::has_emulated_twin(number))
}
