// SPDX-License-Identifier: GPL-2.0

//! What the backend offers and what comes of it: pure, tested on the build machine.
//!
//! The names are those of `include/xen/interface/io/netif.h`.

use core::ffi::CStr;

/// The largest MTU without scatter-gather, bytes.
pub const PLAIN_MTU: u32 = 1500;
/// The largest MTU with scatter-gather: the largest frame less an Ethernet header with a VLAN tag, bytes.
pub const LARGE_MTU: u32 = 65535 - 18;
/// The smallest MTU, bytes (`ETH_MIN_MTU`).
pub const SMALLEST_MTU: u32 = 68;

/// What the backend published, as read from xenstore; false where a node is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// `feature-rx-copy`
    pub rx_copy: bool,
    /// `feature-split-event-channels`
    pub split_event_channels: bool,
    /// `feature-sg`
    pub scatter_gather: bool,
    /// `feature-gso-tcpv4`
    pub gso_tcpv4: bool,
    /// `feature-gso-tcpv6`
    pub gso_tcpv6: bool,
    /// `feature-ipv6-csum-offload`
    pub ipv6_checksum: bool,
}

impl Offers {
    /// Reads all nodes by way of `flag`.
    ///
    /// # Errors
    ///
    /// The first one of a node that cannot be read, which is not the same as one that is absent.
    pub fn gather<E>(flag: impl Fn(&CStr) -> Result<bool, E>) -> Result<Self, E> {
        Ok(Self {
            rx_copy: flag(c"feature-rx-copy")?,
            split_event_channels: flag(c"feature-split-event-channels")?,
            scatter_gather: flag(c"feature-sg")?,
            gso_tcpv4: flag(c"feature-gso-tcpv4")?,
            gso_tcpv6: flag(c"feature-gso-tcpv6")?,
            ipv6_checksum: flag(c"feature-ipv6-csum-offload")?,
        })
    }
}

/// Why a backend's offer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It does not copy received frames into the guest's pages; nothing else is supported since 2011.
    NoReceiveCopy,
}

impl Refused {
    /// The node that is to blame.
    pub const fn node(self) -> &'static str {
        match self {
            Self::NoReceiveCopy => "feature-rx-copy",
        }
    }
}

/// What both ends agreed on for one connection. Does not change while the connection lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// An event channel for each direction.
    pub split_event_channels: bool,
    /// Frames in several slots.
    pub scatter_gather: bool,
    /// Frames with blank IPv6 checksums.
    pub ipv6_checksum: bool,
    /// Large TCP frames over IPv4.
    pub tso: bool,
    /// Large TCP frames over IPv6.
    pub tso6: bool,
}

impl Negotiated {
    /// Nothing but plain frames.
    pub const PLAIN: Self = Self {
        split_event_channels: false,
        scatter_gather: false,
        ipv6_checksum: false,
        tso: false,
        tso6: false,
    };

    /// The largest MTU, bytes.
    pub const fn max_mtu(&self) -> u32 {
        if self.scatter_gather {
            LARGE_MTU
        } else {
            PLAIN_MTU
        }
    }

    /// The features that the stack is told of, as bits.
    pub fn bits(&self) -> u32 {
        u32::from(self.scatter_gather)
            | u32::from(self.ipv6_checksum) << 1
            | u32::from(self.tso) << 2
            | u32::from(self.tso6) << 3
    }

    /// The slots of payload that a frame may have.
    pub const fn max_slots(&self) -> usize {
        if self.scatter_gather {
            crate::wire::MAX_SLOTS
        } else {
            1
        }
    }
}

/// Settles a connection.
pub const fn negotiate(offers: &Offers) -> Result<Negotiated, Refused> {
    if !offers.rx_copy {
        return Err(Refused::NoReceiveCopy);
    }
    Ok(Negotiated {
        split_event_channels: offers.split_event_channels,
        scatter_gather: offers.scatter_gather,
        ipv6_checksum: offers.ipv6_checksum,
        // A large frame has several slots, and its checksum is always blank.
        tso: offers.gso_tcpv4 && offers.scatter_gather,
        tso6: offers.gso_tcpv6 && offers.scatter_gather && offers.ipv6_checksum,
    })
}

/// Reads a hardware address such as `00:16:3e:12:34:56`; [`None`] if it is malformed, all zero, or a group's.
pub fn parse_mac(text: &[u8]) -> Option<[u8; 6]> {
    let mut address = [0; 6];
    let mut parts = text.trim_ascii().split(|byte| *byte == b':');
    for byte in &mut address {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 2 {
            return None;
        }
        *byte = part
            .iter()
            .try_fold(0u8, |value, digit| Some(value << 4 | hex_digit(*digit)?))?;
    }
    let unicast = address[0] & 1 == 0;
    (parts.next().is_none() && unicast && address != [0; 6]).then_some(address)
}

/// The value of a hexadecimal digit.
const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
