// SPDX-License-Identifier: GPL-2.0

//! What the toolstack asks for.

use proptest::prelude::*;
use pure_suspend::request::{
    is_empty,
    sysrq_key,
    Request, //
};

#[test]
fn each_name_is_understood_with_and_without_an_end() {
    for request in Request::ALL {
        let name = request.name().as_bytes();
        assert_eq!(Request::from_value(name), Some(request));
        assert_eq!(Request::from_value(&[name, b"\0"].concat()), Some(request));
    }
}

#[test]
fn nothing_else_is() {
    for value in [
        &b""[..],
        b"\0",
        b"poweroff ",
        b"POWEROFF",
        b"power",
        b"poweroff\0\0",
        b"s3",
        b"\xff",
    ] {
        assert_eq!(Request::from_value(value), None);
    }
}

#[test]
fn an_acknowledged_request_is_empty() {
    assert!(is_empty(b""));
    assert!(is_empty(b"\0"));
    assert!(!is_empty(b"suspend"));
    assert!(!is_empty(b" "));
}

#[test]
fn sysrq_takes_one_key() {
    assert_eq!(sysrq_key(b"s"), Some(b's'));
    assert_eq!(sysrq_key(b"9\0"), Some(b'9'));
    for value in [&b""[..], b"\0", b"st", b" ", b"\n", b"\x80", b"\0\0"] {
        assert_eq!(sysrq_key(value), None);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken(value in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Some(request) = Request::from_value(&value) {
            prop_assert!(value.starts_with(request.name().as_bytes()));
            prop_assert!(!is_empty(&value));
        }
        if let Some(key) = sysrq_key(&value) {
            prop_assert_eq!(value[0], key);
        }
    }
}
