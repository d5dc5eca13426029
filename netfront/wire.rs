// SPDX-License-Identifier: GPL-2.0

//! What travels on the network rings, byte by byte (`include/xen/interface/io/netif.h`): pure, tested on the build
//! machine.
//!
//! Slots are arrays of 32-bit words in the machine's byte order, as the C structures are laid out on x86. What is not
//! set is zero, so nothing of this guest's memory leaks through padding.

/// 32-bit words of a transmit request (`struct xen_netif_tx_request`) or of an extra slot in its place.
pub const TX_REQUEST_WORDS: usize = 3;
/// 32-bit words of a transmit response.
pub const TX_RESPONSE_WORDS: usize = 1;
/// 32-bit words of a receive request.
pub const RX_REQUEST_WORDS: usize = 2;
/// 32-bit words of a receive response, or of an extra slot in its place.
pub const RX_RESPONSE_WORDS: usize = 2;

/// The most slots of payload that a frame may have, both ways (`XEN_NETIF_NR_SLOTS_MIN`).
pub const MAX_SLOTS: usize = 18;
/// The largest frame that can be sent, bytes (`XEN_NETIF_MAX_TX_SIZE`).
pub const MAX_TX_BYTES: u32 = 0xffff;

/// Flags of a transmit request (`XEN_NETTXF_*`).
pub mod tx_flags {
    /// The transport checksum is to be filled in.
    pub const CHECKSUM_BLANK: u16 = 1;
    /// The data is known to be right.
    pub const DATA_VALIDATED: u16 = 2;
    /// The frame continues in the next slot.
    pub const MORE_DATA: u16 = 4;
    /// Extra slots follow this one.
    pub const EXTRA_INFO: u16 = 8;
}

/// Flags of a receive response (`XEN_NETRXF_*`). The first two are the other way round than those for transmission.
pub mod rx_flags {
    /// The data is known to be right.
    pub const DATA_VALIDATED: u16 = 1;
    /// The transport checksum is blank.
    pub const CHECKSUM_BLANK: u16 = 2;
    /// The frame continues in the next slot.
    pub const MORE_DATA: u16 = 4;
    /// Extra slots follow this one.
    pub const EXTRA_INFO: u16 = 8;
}

/// Types of extra slots (`XEN_NETIF_EXTRA_TYPE_*`).
pub mod extra {
    /// How a large frame is to be cut up.
    pub const GSO: u8 = 1;
    /// The first number that is no type.
    pub const END: u8 = 6;
    /// Another extra slot follows (`XEN_NETIF_EXTRA_FLAG_MORE`).
    pub const MORE: u8 = 1;
}

/// Which protocol a large frame is cut up for (`XEN_NETIF_GSO_TYPE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmentation {
    /// TCP over IPv4, with this many bytes of payload in each piece.
    TcpV4(u16),
    /// TCP over IPv6.
    TcpV6(u16),
}

/// A transmit request: a part of a frame in one page that is lent to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxRequest {
    /// The grant of the page.
    pub gref: u32,
    /// Bytes from the page's start.
    pub offset: u16,
    /// [`tx_flags`].
    pub flags: u16,
    /// What the response repeats.
    pub id: u16,
    /// Bytes of the whole frame in its first slot, of this part in all others.
    pub size: u16,
}

impl TxRequest {
    /// As it lies in its slot.
    pub const fn words(&self) -> [u32; TX_REQUEST_WORDS] {
        [
            self.gref,
            pair(self.offset, self.flags),
            pair(self.id, self.size),
        ]
    }
}

impl Segmentation {
    /// The extra slot that follows a frame's first transmit request.
    pub const fn words(&self) -> [u32; TX_REQUEST_WORDS] {
        let (kind, size) = match self {
            Self::TcpV4(size) => (1, *size),
            Self::TcpV6(size) => (2, *size),
        };
        [pair(extra::GSO as u16, size), kind, 0]
    }

    /// From an extra slot of type [`extra::GSO`]; [`None`] if it makes no sense.
    pub const fn from_words(words: [u32; RX_RESPONSE_WORDS]) -> Option<Self> {
        let size = high(words[0]);
        match (words[1] as u8, size) {
            (_, 0) => None,
            (1, _) => Some(Self::TcpV4(size)),
            (2, _) => Some(Self::TcpV6(size)),
            _ => None,
        }
    }
}

/// What the backend says of a transmit request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxStatus {
    /// It was sent.
    Okay,
    /// It was dropped for want of room (`XEN_NETIF_RSP_DROPPED`).
    Dropped,
    /// It was refused, or the number means nothing.
    Error,
    /// The slot was an extra one and has no request (`XEN_NETIF_RSP_NULL`).
    Null,
}

/// A transmit response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxResponse {
    /// The request's.
    pub id: u16,
    /// What became of it.
    pub status: TxStatus,
}

impl TxResponse {
    /// From its slot.
    pub const fn from_words(words: [u32; TX_RESPONSE_WORDS]) -> Self {
        Self {
            id: low(words[0]),
            status: match high(words[0]) as i16 {
                0 => TxStatus::Okay,
                -2 => TxStatus::Dropped,
                1 => TxStatus::Null,
                _ => TxStatus::Error,
            },
        }
    }
}

/// A receive request: a page that is lent to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxRequest {
    /// What the response repeats.
    pub id: u16,
    /// The grant of the page.
    pub gref: u32,
}

impl RxRequest {
    /// As it lies in its slot.
    pub const fn words(&self) -> [u32; RX_REQUEST_WORDS] {
        [self.id as u32, self.gref]
    }
}

/// A receive response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxResponse {
    /// The request's.
    pub id: u16,
    /// Bytes from the page's start.
    pub offset: u16,
    /// [`rx_flags`].
    pub flags: u16,
    /// Bytes, or below zero an error.
    pub status: i16,
}

impl RxResponse {
    /// From its slot.
    pub const fn from_words(words: [u32; RX_RESPONSE_WORDS]) -> Self {
        Self {
            id: low(words[0]),
            offset: high(words[0]),
            flags: low(words[1]),
            status: high(words[1]) as i16,
        }
    }
}

/// Two halves of a word, the lower one first in memory.
const fn pair(low: u16, high: u16) -> u32 {
    low as u32 | (high as u32) << 16
}

/// The half of a word that is first in memory.
const fn low(word: u32) -> u16 {
    word as u16
}

/// The other half.
const fn high(word: u32) -> u16 {
    (word >> 16) as u16
}
