// SPDX-License-Identifier: GPL-2.0

//! Reading values that the other end wrote: pure, tested on the build machine.
//!
//! The bytes of a node come from a backend that may lie. A number is decimal digits, with surrounding blanks and an
//! ending NUL tolerated as xenstore clients have always done; everything else is malformed.

use core::ops::RangeInclusive;

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadValue {
    /// Not a decimal number.
    Malformed,
    /// A number, but outside what the reader accepts or 64 bits hold.
    OutOfRange,
}

/// Reads a decimal number in a range.
///
/// # Errors
///
/// [`BadValue`].
pub fn number(bytes: &[u8], range: &RangeInclusive<u64>) -> Result<u64, BadValue> {
    let digits = trim(bytes);
    // Before the value: where 64 bits are too few, there may still be garbage to come.
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadValue::Malformed);
    }
    let mut value: u64 = 0;
    for digit in digits {
        value = value
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u64::from(digit - b'0')))
            .ok_or(BadValue::OutOfRange)?;
    }
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(BadValue::OutOfRange)
    }
}

/// Takes blanks and one trailing NUL off.
fn trim(bytes: &[u8]) -> &[u8] {
    let bytes = match bytes {
        [rest @ .., 0] => rest,
        all => all,
    };
    bytes.trim_ascii()
}
