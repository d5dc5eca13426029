// SPDX-License-Identifier: GPL-2.0

//! What testers write to have allocations fail.

use proptest::prelude::*;
use pure_xenbus::grant::wish::{
    digest,
    Wish,
    ANY, //
};

#[test]
fn a_number_is_for_all_devices() {
    for text in ["3", "3\n", " 3 "] {
        let wish = Wish::parse(text.as_bytes()).unwrap();
        assert_eq!((wish.times, wish.device), (3, ANY));
        assert!(Wish::concerns(wish.device, b"device/vif/0"));
    }
}

#[test]
fn a_path_is_for_that_device() {
    let wish = Wish::parse(b"12 device/vbd/51712\n").unwrap();
    assert_eq!(wish.times, 12);
    assert!(Wish::concerns(wish.device, b"device/vbd/51712"));
    for other in ["device/vbd/51728", "device/vbd/5171", "device/vif/0", ""] {
        assert!(!Wish::concerns(wish.device, other.as_bytes()));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for text in ["", "\n", "x", "-1", "4294967296", "1 a b", "device/vif/0"] {
        assert_eq!(Wish::parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(Wish::parse(b"1 \xff"), None);
}

proptest! {
    #[test]
    fn whatever_is_written_nothing_breaks(text in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Wish::parse(&text);
        prop_assert_ne!(digest(&text), ANY);
    }
}
