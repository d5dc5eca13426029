// SPDX-License-Identifier: GPL-2.0

//! Messages of the xenstore protocol (`docs/misc/xenstore.txt` and `io/xs_wire.h` of Xen): pure, tested on the build
//! machine.
//!
//! A message is a header of four 32-bit numbers and up to [`PAYLOAD_MAX`] bytes, mostly strings that end with a NUL.

/// The longest payload. A client that sends more is cut off.
pub const PAYLOAD_MAX: usize = 4096;

/// Bytes of a header.
pub const HEADER_SIZE: usize = 16;

/// The types of messages that this end sends or understands.
pub mod kind {
    /// Lists a node's children.
    pub const DIRECTORY: u32 = 1;
    /// Reads a node.
    pub const READ: u32 = 2;
    /// Watches a node and all below it.
    pub const WATCH: u32 = 4;
    /// Ends a watch.
    pub const UNWATCH: u32 = 5;
    /// Opens a transaction.
    pub const TRANSACTION_START: u32 = 6;
    /// Commits or aborts a transaction.
    pub const TRANSACTION_END: u32 = 7;
    /// Writes a node.
    pub const WRITE: u32 = 11;
    /// Removes a node and all below it.
    pub const RM: u32 = 13;
    /// Not a reply: something that is watched has changed.
    pub const WATCH_EVENT: u32 = 15;
    /// The reply to a request that failed.
    pub const ERROR: u32 = 16;
    /// Ends all watches and transactions of the domain.
    pub const RESET_WATCHES: u32 = 21;
    /// Lists a node's children from an offset on.
    pub const DIRECTORY_PART: u32 = 22;
}

/// The payload of a [`kind::TRANSACTION_END`] that aborts the transaction.
pub const ABORT: &[u8] = b"F\0";

/// Whether requests of this type give something back of which xenstored allows a guest a few only, and which it keeps
/// for as long as the guest runs: they must reach it, even where nobody waits for the reply any more.
pub fn gives_back(kind: u32) -> bool {
    matches!(kind, kind::UNWATCH | kind::TRANSACTION_END)
}

/// The header of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// One of [`kind`].
    pub kind: u32,
    /// Chosen by the client; the reply has the same.
    pub id: u32,
    /// The transaction that the request belongs to; 0 is none.
    pub transaction: u32,
    /// Bytes of the payload.
    pub length: u32,
}

impl Header {
    /// As it goes over the ring. Xenstore's byte order is the machine's.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let fields = [self.kind, self.id, self.transaction, self.length];
        for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_ne_bytes());
        }
        bytes
    }

    /// The opposite of [`Self::encode`]. Any bytes are a header; what the numbers mean is checked by who uses them.
    pub fn decode(bytes: &[u8; HEADER_SIZE]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
        Self {
            kind: u32::from_ne_bytes([a, b, c, d]),
            id: u32::from_ne_bytes([e, f, g, h]),
            transaction: u32::from_ne_bytes([i, j, k, l]),
            length: u32::from_ne_bytes([m, n, o, p]),
        }
    }
}

/// The errors that xenstored names, and their Linux numbers.
const ERRORS: [(&str, i32); 16] = [
    ("EINVAL", 22),
    ("EACCES", 13),
    ("EEXIST", 17),
    ("EISDIR", 21),
    ("ENOENT", 2),
    ("ENOMEM", 12),
    ("ENOSPC", 28),
    ("EIO", 5),
    ("ENOTEMPTY", 39),
    ("ENOSYS", 38),
    ("EROFS", 30),
    ("EBUSY", 16),
    ("EAGAIN", 11),
    ("EISCONN", 106),
    ("E2BIG", 7),
    ("EPERM", 1),
];

/// The number of the error that the payload of an [`kind::ERROR`] message names; [`None`] for a name that is unknown.
pub fn error_number(payload: &[u8]) -> Option<i32> {
    let name = payload.strip_suffix(b"\0").unwrap_or(payload);
    let known = ERRORS.iter().find(|(known, _)| known.as_bytes() == name);
    known.map(|(_, number)| *number)
}

/// The name that xenstored would have for an error; `EIO` where it has none.
pub fn error_name(number: i32) -> &'static str {
    let known = ERRORS.iter().find(|(_, known)| *known == number);
    known.map_or("EIO", |(name, _)| name)
}

/// Splits a payload that is exactly two strings, each with its ending NUL, which are taken off.
pub fn two_strings(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let payload = payload.strip_suffix(b"\0")?;
    let end = payload.iter().position(|byte| *byte == 0)?;
    let (first, rest) = payload.split_at_checked(end)?;
    let second = rest.get(1..)?;
    (!second.contains(&0)).then_some((first, second))
}

/// Splits what is watched, and the token, off the payload of a request for a watch. Further strings, such as the depth
/// that newer versions know, are left alone.
pub fn watch_request(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut strings = payload.strip_suffix(b"\0")?.split(|byte| *byte == 0);
    let path = strings.next()?;
    Some((path, strings.next()?))
}

/// The digits of a token.
pub struct TokenText {
    digits: [u8; 17],
}

impl TokenText {
    /// The digits with the ending NUL.
    pub fn as_bytes_with_nul(&self) -> &[u8] {
        &self.digits
    }
}

/// The name by which xenstored gives back a watch's events: a number that is never used twice, so that an event that
/// comes late meets no other watch, and that says nothing about this kernel's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

impl Token {
    /// As xenstored gets it: 16 hexadecimal digits.
    pub fn text(&self) -> TokenText {
        let mut digits = [0; 17];
        for (place, shift) in digits.iter_mut().zip((0..16).rev()) {
            let digit = (self.0 >> (shift * 4) & 0xf) as u8;
            *place = if digit < 10 {
                b'0' + digit
            } else {
                b'a' + (digit - 10)
            };
        }
        TokenText { digits }
    }

    /// Reads what [`Self::text`] writes, and nothing else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 16 {
            return None;
        }
        let mut value = 0;
        for byte in text {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            value = value << 4 | u64::from(digit);
        }
        Some(Self(value))
    }
}

/// Whether a path is the one that is watched or lies below it.
pub fn is_below(watched: &[u8], path: &[u8]) -> bool {
    if watched == b"/" {
        return path.starts_with(b"/");
    }
    match path.strip_prefix(watched) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"/"),
        None => false,
    }
}

/// Reads the decimal number that opens a transaction's reply; a number in this range only, because 0 is no transaction.
pub fn transaction_number(payload: &[u8]) -> Option<u32> {
    let number = super::value::number(payload, &(1..=u64::from(u32::MAX))).ok()?;
    u32::try_from(number).ok()
}
