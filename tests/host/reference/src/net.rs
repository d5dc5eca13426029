// SPDX-License-Identifier: GPL-2.0

//! Slots of the network rings through the kernel's structures.

use core::ffi::c_void;

extern "C" {
    fn reference_net_sizes(to: *mut u32);
    fn reference_net_tx_request(
        to: *mut c_void,
        gref: u32,
        offset: u16,
        flags: u16,
        id: u16,
        size: u16,
    );
    fn reference_net_tx_response(to: *mut c_void, id: u16, status: i16);
    fn reference_net_rx_request(to: *mut c_void, id: u16, gref: u32);
    fn reference_net_rx_response(to: *mut c_void, id: u16, offset: u16, flags: u16, status: i16);
    fn reference_net_extra(to: *mut c_void, kind: u8, flags: u8);
    fn reference_net_gso(to: *mut c_void, flags: u8, kind: u8, size: u16);
    fn reference_net_flags(transmit: *mut u16, receive: *mut u16);
    fn reference_net_statuses(to: *mut i16);
    fn reference_net_extras(to: *mut u8);
    fn reference_net_limits(to: *mut u32);
}

/// What both ends accept of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Slots of payload.
    pub slots: u32,
    /// Bytes, on the way to the backend.
    pub bytes: u32,
}

/// The C structures of `netif.h`, as 32-bit words.
pub struct Net(());

impl Net {
    /// Checks that the buffers below have the structures' sizes.
    pub fn new() -> Self {
        let mut sizes = [0; 5];
        // SAFETY: The function writes five numbers.
        unsafe { reference_net_sizes(sizes.as_mut_ptr()) };
        assert_eq!(sizes, [12, 4, 8, 8, 8]);
        Self(())
    }

    /// A transmit request.
    pub fn tx_request(&self, gref: u32, offset: u16, flags: u16, id: u16, size: u16) -> [u32; 3] {
        let mut words = [0; 3];
        let to = words.as_mut_ptr().cast();
        // SAFETY: The buffer has the structure's size.
        unsafe { reference_net_tx_request(to, gref, offset, flags, id, size) };
        words
    }

    /// A transmit response.
    pub fn tx_response(&self, id: u16, status: i16) -> [u32; 1] {
        let mut words = [0; 1];
        // SAFETY: The buffer has the structure's size.
        unsafe { reference_net_tx_response(words.as_mut_ptr().cast(), id, status) };
        words
    }

    /// A receive request.
    pub fn rx_request(&self, id: u16, gref: u32) -> [u32; 2] {
        let mut words = [0; 2];
        // SAFETY: The buffer has the structure's size.
        unsafe { reference_net_rx_request(words.as_mut_ptr().cast(), id, gref) };
        words
    }

    /// A receive response.
    pub fn rx_response(&self, id: u16, offset: u16, flags: u16, status: i16) -> [u32; 2] {
        let mut words = [0; 2];
        let to = words.as_mut_ptr().cast();
        // SAFETY: The buffer has the structure's size.
        unsafe { reference_net_rx_response(to, id, offset, flags, status) };
        words
    }

    /// An extra slot of any type.
    pub fn extra(&self, kind: u8, flags: u8) -> [u32; 2] {
        let mut words = [0; 2];
        // SAFETY: The buffer has the structure's size.
        unsafe { reference_net_extra(words.as_mut_ptr().cast(), kind, flags) };
        words
    }

    /// The extra slot of a large frame, whose padding holds what is in `padding` at its place.
    pub fn gso(&self, flags: u8, kind: u8, size: u16, padding: [u32; 2]) -> [u32; 2] {
        let mut words = padding;
        // SAFETY: The buffer has the structure's size.
        unsafe { reference_net_gso(words.as_mut_ptr().cast(), flags, kind, size) };
        words
    }

    /// Checksum blank, data validated, more data and extra info: of transmit requests, and of receive responses.
    pub fn flags(&self) -> ([u16; 4], [u16; 4]) {
        let (mut transmit, mut receive) = ([0; 4], [0; 4]);
        // SAFETY: The function writes four numbers each.
        unsafe { reference_net_flags(transmit.as_mut_ptr(), receive.as_mut_ptr()) };
        (transmit, receive)
    }

    /// The numbers of okay, dropped, error and null.
    pub fn statuses(&self) -> [i16; 4] {
        let mut numbers = [i16::MAX; 4];
        // SAFETY: The function writes four numbers.
        unsafe { reference_net_statuses(numbers.as_mut_ptr()) };
        numbers
    }

    /// The first and the last extra type, the flag for more, and the GSO types none, IPv4, IPv6.
    pub fn extras(&self) -> [u8; 6] {
        let mut numbers = [u8::MAX; 6];
        // SAFETY: The function writes six numbers.
        unsafe { reference_net_extras(numbers.as_mut_ptr()) };
        numbers
    }

    /// The limits of a frame.
    pub fn limits(&self) -> Limits {
        let mut numbers = [0; 2];
        // SAFETY: The function writes two numbers.
        unsafe { reference_net_limits(numbers.as_mut_ptr()) };
        let [slots, bytes] = numbers;
        Limits { slots, bytes }
    }
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}
