// SPDX-License-Identifier: GPL-2.0

//! X11: who the other end is, as nodes say that the other end or the toolstack has written.

use proptest::prelude::*;
use pure_xenbus::{
    otherend::{
        domid,
        path,
        PATH_MAX, //
    },
    value::BadValue, //
};

#[test]
fn x11_domains() {
    for (value, expected) in [
        (&b"0"[..], 0),
        (b"1", 1),
        (b"32751", 32751),
        (b"7\0", 7),
        (b" 12 ", 12),
    ] {
        assert_eq!(domid(value), Ok(expected), "{value:?}");
    }
}

#[test]
fn x11_what_is_no_domain() {
    for (value, why) in [
        // DOMID_FIRST_RESERVED, DOMID_SELF and others.
        (&b"32752"[..], BadValue::OutOfRange),
        (b"32753", BadValue::OutOfRange),
        (b"32767", BadValue::OutOfRange),
        (b"65535", BadValue::OutOfRange),
        (b"65536", BadValue::OutOfRange),
        (b"4294967296", BadValue::OutOfRange),
        (b"18446744073709551616", BadValue::OutOfRange),
        (b"-1", BadValue::Malformed),
        (b"", BadValue::Malformed),
        (b"\0", BadValue::Malformed),
        (b"1\0002", BadValue::Malformed),
        (b"0x1", BadValue::Malformed),
        (b"+1", BadValue::Malformed),
        (b"1.5", BadValue::Malformed),
        (b"\xff", BadValue::Malformed),
    ] {
        assert_eq!(domid(value), Err(why), "{value:?}");
    }
    assert_eq!(domid(&[b'1'; 4096]), Err(BadValue::OutOfRange));
}

#[test]
fn x11_paths() {
    let usual = "/local/domain/0/backend/vbd/3/51712";
    assert_eq!(path(usual.as_bytes()), Ok(usual));
    let longest = vec![b'x'; PATH_MAX - 6];
    assert!(path(&longest).is_ok());
}

#[test]
fn x11_what_is_no_path() {
    for value in [
        &b""[..],
        b"\0",
        b"/local\0/domain",
        b"/local/domain\0",
        b"/local/\xff/domain",
        b"\xc3",
    ] {
        assert_eq!(path(value), Err(BadValue::Malformed), "{value:?}");
    }
    for length in [PATH_MAX - 5, PATH_MAX, 4096] {
        assert_eq!(path(&vec![b'x'; length]), Err(BadValue::OutOfRange));
    }
}

proptest! {
    #[test]
    fn anything_is_a_domain_and_a_path_or_not(value: Vec<u8>) {
        if let Ok(domid) = domid(&value) {
            prop_assert!(domid < 0x7ff0);
        }
        if let Ok(path) = path(&value) {
            prop_assert_eq!(path.as_bytes(), &value);
        }
    }
}
