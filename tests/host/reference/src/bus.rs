// SPDX-License-Identifier: GPL-2.0

//! `enum xenbus_state`.

extern "C" {
    fn reference_bus_states(to: *mut u32);
}

/// The numbers of Unknown, Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring and
/// Reconfigured.
pub fn states() -> [u32; 9] {
    let mut numbers = [u32::MAX; 9];
    // SAFETY: The function writes nine numbers.
    unsafe { reference_bus_states(numbers.as_mut_ptr()) };
    numbers
}
