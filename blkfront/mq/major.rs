// SPDX-License-Identifier: GPL-2.0

//! A major number.

use kernel::{
    error::to_result,
    prelude::*, //
};
use rxen_bindings as bindings;

/// A major number that is registered to this driver.
pub(crate) struct Major {
    number: u32,
    name: &'static CStr,
}

impl Major {
    /// Registers it.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another driver has it.
    pub(crate) fn register(number: u32, name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is static and ends with a NUL.
        to_result(unsafe { bindings::__register_blkdev(number, name.as_char_ptr(), None) })?;
        Ok(Self { number, name })
    }
}

impl Drop for Major {
    fn drop(&mut self) {
        // SAFETY: Registered in `register` with the same name.
        unsafe { bindings::unregister_blkdev(self.number, self.name.as_char_ptr()) }
    }
}
