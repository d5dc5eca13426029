// SPDX-License-Identifier: GPL-2.0

//! Headers, strings, tokens and error names.

use proptest::prelude::*;
use pure_xenbus::store::wire::{
    error_name,
    error_number,
    is_below,
    kind,
    transaction_number,
    two_strings,
    watch_request,
    Header,
    Token, //
};

/// `io/xs_wire.h` of Xen, by hand: what the C structure would be on this machine.
#[test]
fn a_header_is_four_numbers_in_the_order_of_the_c_structure() {
    let header = Header {
        kind: kind::WRITE,
        id: 0x0102_0304,
        transaction: 7,
        length: 4096,
    };
    let mut expected = Vec::new();
    for number in [11u32, 0x0102_0304, 7, 4096] {
        expected.extend(number.to_ne_bytes());
    }
    assert_eq!(header.encode().as_slice(), expected);
}

#[test]
fn errors_have_linux_numbers_and_xenstored_names() {
    for (name, number) in [
        ("ENOENT", 2),
        ("EIO", 5),
        ("EAGAIN", 11),
        ("EACCES", 13),
        ("EEXIST", 17),
        ("EINVAL", 22),
        ("ENOSPC", 28),
        ("E2BIG", 7),
        ("EPERM", 1),
        ("EISCONN", 106),
    ] {
        let with_nul = format!("{name}\0");
        assert_eq!(error_number(with_nul.as_bytes()), Some(number), "{name}");
        assert_eq!(error_number(name.as_bytes()), Some(number), "{name}");
        assert_eq!(error_name(number), name);
    }
}

#[test]
fn unknown_errors_are_told_apart() {
    for payload in [
        &b""[..],
        b"\0",
        b"EWHAT\0",
        b"enoent\0",
        b"ENOENT\0\0",
        b"ENOENTX",
        b"22\0",
    ] {
        assert_eq!(error_number(payload), None, "{payload:?}");
    }
    assert_eq!(error_name(110), "EIO");
    assert_eq!(error_name(-5), "EIO");
}

#[test]
fn events_are_exactly_two_strings() {
    assert_eq!(two_strings(b"a\0b\0"), Some((&b"a"[..], &b"b"[..])));
    assert_eq!(two_strings(b"\0\0"), Some((&b""[..], &b""[..])));
    for payload in [
        &b""[..],
        b"a",
        b"a\0",
        b"a\0b",
        b"a\0b\0c",
        b"a\0b\0c\0",
        b"\0",
        b"a\0b\0\0",
    ] {
        assert_eq!(two_strings(payload), None, "{payload:?}");
    }
}

#[test]
fn a_watch_request_may_have_more_strings() {
    assert_eq!(watch_request(b"p\0t\0"), Some((&b"p"[..], &b"t"[..])));
    assert_eq!(watch_request(b"p\0t\0001\0"), Some((&b"p"[..], &b"t"[..])));
    for payload in [&b""[..], b"p", b"p\0", b"p\0t"] {
        assert_eq!(watch_request(payload), None, "{payload:?}");
    }
}

#[test]
fn tokens_are_sixteen_digits() {
    assert_eq!(Token(0).text().as_bytes_with_nul(), b"0000000000000000\0");
    assert_eq!(
        Token(0xfeed_0123).text().as_bytes_with_nul(),
        b"00000000feed0123\0"
    );
    for text in [
        &b""[..],
        b"1",
        b"000000000000000",
        b"00000000000000000",
        b"000000000000000G",
        b"00000000FEED0123",
        b"+000000000000001",
        b"000000000000001\0",
    ] {
        assert_eq!(Token::parse(text), None, "{text:?}");
    }
}

#[test]
fn below_is_the_same_or_behind_a_slash() {
    for (watched, path) in [
        ("device", "device"),
        ("device", "device/vbd"),
        (
            "/local/domain/0/backend/vbd/5/51712/state",
            "/local/domain/0/backend/vbd/5/51712/state",
        ),
        ("/", "/"),
        ("/", "/local"),
        ("@releaseDomain", "@releaseDomain/7"),
    ] {
        assert!(
            is_below(watched.as_bytes(), path.as_bytes()),
            "{watched} {path}"
        );
    }
    for (watched, path) in [
        ("device", "devices"),
        ("device", "dev"),
        ("device", ""),
        ("device", "/device"),
        ("device/vbd/1", "device/vbd/10"),
        ("/", "device"),
    ] {
        assert!(
            !is_below(watched.as_bytes(), path.as_bytes()),
            "{watched} {path}"
        );
    }
}

#[test]
fn a_transaction_is_a_number_but_not_zero() {
    assert_eq!(transaction_number(b"1\0"), Some(1));
    assert_eq!(transaction_number(b"4294967295\0"), Some(u32::MAX));
    for payload in [
        &b"0\0"[..],
        b"",
        b"\0",
        b"4294967296\0",
        b"-1\0",
        b"OK\0",
        b"0x10\0",
    ] {
        assert_eq!(transaction_number(payload), None, "{payload:?}");
    }
}

proptest! {
    #[test]
    fn headers_come_back(kind: u32, id: u32, transaction: u32, length: u32) {
        let header = Header { kind, id, transaction, length };
        prop_assert_eq!(Header::decode(&header.encode()), header);
    }

    #[test]
    fn tokens_come_back(number: u64) {
        let text = Token(number).text();
        let digits = text.as_bytes_with_nul().strip_suffix(b"\0").expect("ends with a NUL");
        prop_assert_eq!(Token::parse(digits), Some(Token(number)));
        prop_assert_eq!(u64::from_str_radix(std::str::from_utf8(digits).expect("digits"), 16), Ok(number));
    }

    #[test]
    fn any_bytes_are_an_event_or_not(payload: Vec<u8>) {
        if let Some((first, second)) = two_strings(&payload) {
            prop_assert!(!first.contains(&0) && !second.contains(&0));
            prop_assert_eq!([first, b"\0", second, b"\0"].concat(), payload);
        }
    }
}
