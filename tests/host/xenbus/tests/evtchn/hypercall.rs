// SPDX-License-Identifier: GPL-2.0

//! What is written to debugfs to have a hypercall fail.

use proptest::prelude::*;
use pure_xenbus::hypercall_wish::Wish;

fn some(kind: &str, last: u32, row: u32) -> Option<Wish<'_>> {
    let kind = Some(kind);
    Some(Wish { kind, last, row })
}

#[test]
fn a_number_and_a_kind_and_how_many() {
    assert_eq!(Wish::parse(b"3 memory_op\n"), some("memory_op", 3, 1));
    assert_eq!(Wish::parse(b"1 hvm_op 2"), some("hvm_op", 2, 2));
    assert_eq!(Wish::parse(b" 5  vcpu_op  10 "), some("vcpu_op", 14, 10));
    for none in ["0", "0\n", "0 memory_op"] {
        assert_eq!(Wish::parse(none.as_bytes()), Some(Wish::NONE));
    }
}

#[test]
fn the_rest_is_refused() {
    for text in [
        "",
        "\n",
        "memory_op",
        "1",
        "-1 memory_op",
        "1 memory_op 0",
        "1 memory_op x",
        "1 memory_op 1 1",
        "4294967296 memory_op",
        "4294967295 memory_op 2",
    ] {
        assert_eq!(Wish::parse(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(Wish::parse(b"1 \xff"), None);
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Some(wish) = Wish::parse(&text) {
            prop_assert!(wish.row <= wish.last && wish.kind.is_some() == (wish.last != 0));
        }
    }
}
