// SPDX-License-Identifier: GPL-2.0

//! Numbers in xenstore nodes.

use proptest::prelude::*;
use pure_xenbus::value::{
    number,
    BadValue, //
};
use std::ops::RangeInclusive;

const ANY: RangeInclusive<u64> = 0..=u64::MAX;

/// The same written in another way: blanks and one NUL off, then digits and nothing else, then the range.
fn expected(bytes: &[u8], range: &RangeInclusive<u64>) -> Result<u64, BadValue> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(BadValue::Malformed);
    };
    let digits = text.trim_matches([' ', '\t', '\n', '\r', '\x0c']);
    if digits.is_empty() || digits.chars().any(|digit| !digit.is_ascii_digit()) {
        return Err(BadValue::Malformed);
    }
    match digits.parse::<u64>() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(BadValue::OutOfRange),
    }
}

#[test]
fn numbers() {
    for (bytes, value) in [
        (&b"0"[..], 0),
        (b"1", 1),
        (b"51712", 51712),
        (b"007", 7),
        (b"00000000000000000000000000000042", 42),
        (b"18446744073709551615", u64::MAX),
    ] {
        assert_eq!(number(bytes, &ANY), Ok(value), "{bytes:?}");
    }
}

#[test]
fn blanks_and_an_ending_nul_are_tolerated() {
    for bytes in [&b" 7"[..], b"7 ", b"7\n", b"\t7\r\n", b"7\0", b" 7 \0"] {
        assert_eq!(number(bytes, &ANY), Ok(7), "{bytes:?}");
    }
}

#[test]
fn what_is_no_number() {
    for bytes in [
        &b""[..],
        b" ",
        b"\0",
        b" \0",
        b"-1",
        b"+1",
        b"0x10",
        b"1 2",
        b"1.5",
        b"1e3",
        b"1,000",
        b"7\0\0",
        b"\x007",
        b"7\0junk",
        b"seven",
        b"7/",
        b"7:",
        b"\xff\xfe",
        "٣".as_bytes(),
        b"99999999999999999999999x",
        b"x99999999999999999999999",
    ] {
        assert_eq!(number(bytes, &ANY), Err(BadValue::Malformed), "{bytes:?}");
    }
}

#[test]
fn numbers_of_more_than_64_bits_are_out_of_range() {
    for bytes in [
        &b"18446744073709551616"[..],
        b"18446744073709551620",
        b"36893488147419103232",
        b"340282366920938463463374607431768211456",
        &[b'9'; 4096],
    ] {
        assert_eq!(number(bytes, &ANY), Err(BadValue::OutOfRange), "{bytes:?}");
    }
}

#[test]
fn both_ends_of_a_range_belong_to_it() {
    let range = 10..=20;
    for (bytes, value) in [
        (&b"9"[..], Err(BadValue::OutOfRange)),
        (b"10", Ok(10)),
        (b"20", Ok(20)),
        (b"21", Err(BadValue::OutOfRange)),
    ] {
        assert_eq!(number(bytes, &range), value, "{bytes:?}");
    }
    assert_eq!(number(b"0", &(0..=0)), Ok(0));
    // A range without values accepts none.
    #[expect(clippy::reversed_empty_ranges)]
    let empty = 20..=10;
    assert_eq!(number(b"15", &empty), Err(BadValue::OutOfRange));
}

/// Bytes that are nearly numbers, as well as any others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(
            prop::sample::select(&b"0123456789 \t\n\r\x0c\x0b\0+-x.9999"[..]),
            0..30
        ),
        "[ \t]{0,2}[0-9]{1,25}[ \n]{0,2}\0?".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn every_number_is_read_back(value: u64, zeroes in 0usize..30, nul: bool) {
        let mut text = format!("{}{value}", "0".repeat(zeroes)).into_bytes();
        if nul {
            text.push(0);
        }
        prop_assert_eq!(number(&text, &ANY), Ok(value));
    }

    #[test]
    fn a_number_is_accepted_exactly_if_it_is_in_the_range(value: u64, one: u64, other: u64) {
        let range = one.min(other)..=one.max(other);
        let expected = if range.contains(&value) { Ok(value) } else { Err(BadValue::OutOfRange) };
        prop_assert_eq!(number(value.to_string().as_bytes(), &range), expected);
    }

    #[test]
    fn any_bytes_are_read_as_the_rules_say(bytes in bytes(), end: u64) {
        let range = 0..=end;
        prop_assert_eq!(number(&bytes, &range), expected(&bytes, &range));
    }
}
