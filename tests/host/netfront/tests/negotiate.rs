// SPDX-License-Identifier: GPL-2.0

//! What comes of a backend's offers, and hardware addresses.

use proptest::prelude::*;
use pure_netfront::{
    negotiate::{
        negotiate,
        parse_mac,
        Negotiated,
        Offers,
        Refused,
        LARGE_MTU,
        PLAIN_MTU,
        SMALLEST_MTU, //
    },
    wire::{
        MAX_SLOTS,
        MAX_TX_BYTES, //
    }, //
};

/// Each combination of the six flags.
fn all_offers() -> impl Iterator<Item = Offers> {
    (0u32..64).map(|bits| Offers {
        rx_copy: bits & 1 != 0,
        split_event_channels: bits & 2 != 0,
        scatter_gather: bits & 4 != 0,
        gso_tcpv4: bits & 8 != 0,
        gso_tcpv6: bits & 16 != 0,
        ipv6_checksum: bits & 32 != 0,
    })
}

#[test]
fn a_backend_that_does_not_copy_is_refused_whatever_else_it_offers() {
    for offers in all_offers() {
        let result = negotiate(&offers);
        if offers.rx_copy {
            assert!(result.is_ok(), "{offers:?}");
        } else {
            assert_eq!(result, Err(Refused::NoReceiveCopy), "{offers:?}");
        }
    }
    assert_eq!(Refused::NoReceiveCopy.node(), "feature-rx-copy");
}

#[test]
fn nothing_is_used_that_was_not_offered_or_that_needs_what_was_not() {
    for offers in all_offers().filter(|offers| offers.rx_copy) {
        let card = negotiate(&offers).expect("it copies");
        assert_eq!(card.split_event_channels, offers.split_event_channels);
        assert_eq!(card.scatter_gather, offers.scatter_gather);
        assert_eq!(card.ipv6_checksum, offers.ipv6_checksum);
        // A large frame is in several slots and leaves its checksum to be filled in.
        assert_eq!(
            card.tso,
            offers.gso_tcpv4 && card.scatter_gather,
            "{offers:?}"
        );
        assert_eq!(
            card.tso6,
            offers.gso_tcpv6 && card.scatter_gather && card.ipv6_checksum,
            "{offers:?}"
        );
    }
}

#[test]
fn the_least_offer_is_a_plain_card() {
    let offers = Offers {
        rx_copy: true,
        ..Offers::default()
    };
    assert_eq!(negotiate(&offers), Ok(Negotiated::PLAIN));
    assert_eq!(Negotiated::PLAIN.max_mtu(), 1500);
    assert_eq!(Negotiated::PLAIN.max_slots(), 1);
}

#[test]
fn frames_of_the_largest_mtu_fit_the_slots() {
    for offers in all_offers().filter(|offers| offers.rx_copy) {
        let card = negotiate(&offers).expect("it copies");
        // With an Ethernet header and a VLAN tag.
        let largest = card.max_mtu() + 18;
        assert!(largest <= MAX_TX_BYTES, "{offers:?}");
        // Pieces of pages; the first and the last may be short ones.
        let pieces = largest.div_ceil(4096) as usize;
        assert!(
            pieces <= card.max_slots() && card.max_slots() <= MAX_SLOTS,
            "{offers:?}"
        );
        let expected = if offers.scatter_gather {
            LARGE_MTU
        } else {
            PLAIN_MTU
        };
        assert_eq!(card.max_mtu(), expected);
    }
    assert_eq!((SMALLEST_MTU, PLAIN_MTU, LARGE_MTU), (68, 1500, 65517));
}

#[test]
fn addresses() {
    let address = Some([0x00, 0x16, 0x3e, 0x5e, 0x6c, 0xf0]);
    for text in [
        "00:16:3e:5e:6c:f0",
        "00:16:3E:5E:6C:F0",
        "0:16:3e:5e:6c:f0",
        " 00:16:3e:5e:6c:f0\n",
    ] {
        assert_eq!(parse_mac(text.as_bytes()), address, "{text:?}");
    }
}

#[test]
fn what_is_no_address() {
    for text in [
        "",
        ":",
        ":::::",
        "00:16:3e:5e:6c",
        "00:16:3e:5e:6c:",
        "00:16:3e:5e:6c:f0:",
        "00:16:3e:5e:6c:f0:01",
        ":00:16:3e:5e:6c:f0",
        "00-16-3e-5e-6c-f0",
        "00163e5e6cf0",
        "000:16:3e:5e:6c:f0",
        "00:16:3e:5e:6c:g0",
        "00:16:3e:5e:6c:+1",
        "00:16:3e:5e:6c:-1",
        "00:16:3e:5e:6c:0x",
        "00:16:3e: 5e:6c:f0",
        "00:16:3e:5e:6c:f0 x",
        "00:16:3e:5e:6c:\u{663}",
        // All zero, broadcast, multicast.
        "00:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff",
        "01:00:5e:00:00:01",
        "33:33:00:00:00:01",
    ] {
        assert_eq!(parse_mac(text.as_bytes()), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn an_address_is_read_back(mut address: [u8; 6], upper: bool) {
        address[0] &= !1;
        prop_assume!(address != [0; 6]);
        let digits = address.map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:x}") });
        prop_assert_eq!(parse_mac(digits.join(":").as_bytes()), Some(address));
    }

    #[test]
    fn any_bytes_give_an_address_that_can_be_a_cards_or_none(
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..30),
            prop::collection::vec(prop::sample::select(&b"0123456789abcdefABCDEF:::::: g"[..]), 0..25),
            "[0-9a-fA-F]{0,3}(:[0-9a-fA-F]{1,2}){4,6}".prop_map(String::into_bytes),
        ],
    ) {
        // The rules once more, by way of text.
        let parts = std::str::from_utf8(&text)
            .map(|text| text.trim_matches([' ', '\t', '\n', '\r', '\x0c']).split(':').collect::<Vec<_>>())
            .unwrap_or_default();
        let well_formed = parts.len() == 6
            && parts.iter().all(|part| (1..=2).contains(&part.len()))
            && parts.concat().bytes().all(|digit| digit.is_ascii_hexdigit());
        let expected = well_formed
            .then(|| std::array::from_fn(|place| u8::from_str_radix(parts[place], 16).expect("two digits")))
            .filter(|address: &[u8; 6]| address[0] & 1 == 0 && *address != [0; 6]);
        prop_assert_eq!(parse_mac(&text), expected);
    }
}
