// SPDX-License-Identifier: GPL-2.0

//! What travels on the network rings, against the structures of `netif.h`.

use proptest::prelude::*;
use pure_netfront::wire::{
    extra,
    rx_flags,
    tx_flags,
    RxRequest,
    RxResponse,
    Segmentation,
    TxRequest,
    TxResponse,
    TxStatus,
    MAX_SLOTS,
    MAX_TX_BYTES,
    RX_REQUEST_WORDS,
    RX_RESPONSE_WORDS,
    TX_REQUEST_WORDS,
    TX_RESPONSE_WORDS, //
};
use reference::Net;

#[test]
fn flags_are_those_of_the_protocol() {
    let transmit = [
        tx_flags::CHECKSUM_BLANK,
        tx_flags::DATA_VALIDATED,
        tx_flags::MORE_DATA,
        tx_flags::EXTRA_INFO,
    ];
    let receive = [
        rx_flags::CHECKSUM_BLANK,
        rx_flags::DATA_VALIDATED,
        rx_flags::MORE_DATA,
        rx_flags::EXTRA_INFO,
    ];
    assert_eq!((transmit, receive), Net::new().flags());
}

#[test]
fn limits_and_types_are_those_of_the_protocol() {
    let net = Net::new();
    assert_eq!(MAX_SLOTS as u32, net.limits().slots);
    assert_eq!(MAX_TX_BYTES, net.limits().bytes);
    let [gso, last, more, ..] = net.extras();
    assert_eq!((extra::GSO, extra::END - 1, extra::MORE), (gso, last, more));
}

#[test]
fn slots_have_the_sizes_of_the_structures() {
    let net = Net::new();
    assert_eq!(TX_REQUEST_WORDS, net.tx_request(0, 0, 0, 0, 0).len());
    assert_eq!(TX_RESPONSE_WORDS, net.tx_response(0, 0).len());
    assert_eq!(RX_REQUEST_WORDS, net.rx_request(0, 0).len());
    assert_eq!(RX_RESPONSE_WORDS, net.rx_response(0, 0, 0, 0).len());
    // An extra slot lies in the place of a transmit request or of a receive response.
    assert_eq!(RX_RESPONSE_WORDS, net.extra(0, 0).len());
}

#[test]
fn transmit_statuses() {
    let net = Net::new();
    let ours = net
        .statuses()
        .map(|status| TxResponse::from_words(net.tx_response(0, status)).status);
    assert_eq!(
        ours,
        [
            TxStatus::Okay,
            TxStatus::Dropped,
            TxStatus::Error,
            TxStatus::Null
        ]
    );
}

proptest! {
    #[test]
    fn a_transmit_request_is_that_of_c(gref: u32, offset: u16, flags: u16, id: u16, size: u16) {
        let request = TxRequest { gref, offset, flags, id, size };
        prop_assert_eq!(request.words(), Net::new().tx_request(gref, offset, flags, id, size));
    }

    #[test]
    fn a_receive_request_is_that_of_c(id: u16, gref: u32) {
        prop_assert_eq!(RxRequest { id, gref }.words(), Net::new().rx_request(id, gref));
    }

    #[test]
    fn a_transmit_response_is_read_as_in_c(id: u16, status: i16) {
        let response = TxResponse::from_words(Net::new().tx_response(id, status));
        prop_assert_eq!(response.id, id);
        let expected = match status {
            0 => TxStatus::Okay,
            1 => TxStatus::Null,
            -2 => TxStatus::Dropped,
            _ => TxStatus::Error,
        };
        prop_assert_eq!(response.status, expected);
    }

    #[test]
    fn a_receive_response_is_read_as_in_c(id: u16, offset: u16, flags: u16, status: i16) {
        let response = RxResponse::from_words(Net::new().rx_response(id, offset, flags, status));
        prop_assert_eq!(response, RxResponse { id, offset, flags, status });
    }

    /// On the way out the slot is that of C with zeroes behind it, up to the size of a transmit request.
    #[test]
    fn segmentation_is_written_as_in_c(size: u16, v6: bool) {
        let net = Net::new();
        let [_, _, _, _, v4_type, v6_type] = net.extras();
        let (ours, kind) = if v6 {
            (Segmentation::TcpV6(size), v6_type)
        } else {
            (Segmentation::TcpV4(size), v4_type)
        };
        let [first, second] = net.gso(0, kind, size, [0; 2]);
        prop_assert_eq!(ours.words(), [first, second, 0]);
    }

    #[test]
    fn segmentation_is_read_as_in_c(
        flags: u8,
        kind in prop_oneof![0u8..4, any::<u8>()],
        size in prop_oneof![Just(0), any::<u16>()],
        padding: [u32; 2],
    ) {
        let net = Net::new();
        let [_, _, _, _, v4_type, v6_type] = net.extras();
        let expected = match kind {
            _ if size == 0 => None,
            kind if kind == v4_type => Some(Segmentation::TcpV4(size)),
            kind if kind == v6_type => Some(Segmentation::TcpV6(size)),
            _ => None,
        };
        prop_assert_eq!(Segmentation::from_words(net.gso(flags, kind, size, padding)), expected);
    }

    #[test]
    fn segmentation_is_read_back(size in 1u16.., v6: bool) {
        let segmentation = if v6 { Segmentation::TcpV6(size) } else { Segmentation::TcpV4(size) };
        let [first, second, _] = segmentation.words();
        prop_assert_eq!(Segmentation::from_words([first, second]), Some(segmentation));
    }
}
