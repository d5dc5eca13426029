// SPDX-License-Identifier: GPL-2.0

//! Trying again, but not for ever: pure, tested on the build machine.

/// Runs `attempt` up to `attempts` times, as long as it fails with `again`; in between, `pause` is called with how many
/// times it has failed.
///
/// # Errors
///
/// What the last attempt returns.
pub fn bounded<T, E: PartialEq>(
    attempts: u32,
    again: E,
    mut pause: impl FnMut(u32),
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut failed = 0;
    loop {
        match attempt() {
            Err(error) if error == again => {
                failed += 1;
                if failed >= attempts {
                    return Err(again);
                }
                pause(failed);
            }
            result => return result,
        }
    }
}

/// How many milliseconds to wait after so many failures, given a random number: nothing at first, because the other
/// transaction is most likely over by now; then longer each time, up to 50, and never the same for two that fight.
pub fn pause_ms(failed: u32, random: u32) -> u32 {
    if failed < 3 {
        return 0;
    }
    let longest = failed.min(25) * 2;
    1 + random % longest
}
