// SPDX-License-Identifier: GPL-2.0

//! Lists of names, in one message and in parts.

use proptest::prelude::*;
use pure_xenbus::store::{
    listing::{
        bad_names,
        names,
        Malformed,
        Part,
        Parts,
        LIST_MAX,
        PARTS_MAX, //
    },
    wire::PAYLOAD_MAX, //
};

fn listed(list: &[u8]) -> Result<Vec<String>, Malformed> {
    let text = |name: &[u8]| String::from_utf8(name.to_vec()).expect("characters of the protocol");
    Ok(names(list)?.map(text).collect())
}

/// As xenstored answers DIRECTORY_PART (`send_directory_part`): as many whole names as fit, and an empty one at the end.
pub fn part(generation: u64, list: &[u8], offset: usize) -> Vec<u8> {
    let mut reply = format!("{generation}\0").into_bytes();
    if offset >= list.len() {
        reply.push(0);
        return reply;
    }
    let room = PAYLOAD_MAX - reply.len() - 1;
    let mut end = offset;
    while let Some(length) = list[end..].iter().position(|byte| *byte == 0) {
        if end + length - offset >= room {
            break;
        }
        end += length + 1;
        if end == list.len() {
            break;
        }
    }
    reply.extend_from_slice(&list[offset..end]);
    if end == list.len() {
        reply.push(0);
    }
    reply
}

#[test]
fn names_with_an_ending_nul_each() {
    assert_eq!(listed(b""), Ok(vec![]));
    assert_eq!(listed(b"vbd\0"), Ok(vec!["vbd".into()]));
    assert_eq!(
        listed(b"vbd\0vif\0suspend\0"),
        Ok(vec!["vbd".into(), "vif".into(), "suspend".into()])
    );
    assert_eq!(
        listed(b"51712\0a-b_c@d+e\0"),
        Ok(vec!["51712".into(), "a-b_c@d+e".into()])
    );
}

#[test]
fn a_list_that_does_not_end_is_none() {
    assert_eq!(listed(b"vbd"), Err(Malformed));
    assert_eq!(listed(b"vbd\0vif"), Err(Malformed));
}

#[test]
fn names_that_cannot_be_are_left_out() {
    let long = [vec![b'x'; 4095], vec![0]].concat();
    for list in [
        &b"\0"[..],
        b"..\0",
        b".\0",
        b"a/b\0",
        b"a b\0",
        b"\xff\0",
        b"a\nb\0",
        b"%s\0",
        &long,
    ] {
        assert_eq!(listed(list), Ok(vec![]), "{list:?}");
        assert_eq!(bad_names(list), 1, "{list:?}");
    }
    assert_eq!(
        listed(b"\0vbd\0..\0vif\0"),
        Ok(vec!["vbd".into(), "vif".into()])
    );
    assert_eq!(bad_names(b"\0vbd\0..\0vif\0"), 2);
    assert_eq!(bad_names(b"no end"), 0);
}

#[test]
fn a_part_that_is_all() {
    let mut parts = Parts::new();
    assert_eq!(
        parts.add(b"17\0vbd\0vif\0\0"),
        Ok(Part::Last(b"vbd\0vif\0"))
    );
    assert_eq!(parts.offset(), 8);
    assert_eq!(Parts::new().add(b"17\0\0"), Ok(Part::Last(b"")));
}

#[test]
fn a_node_that_changes_between_the_parts_is_begun_again() {
    let mut parts = Parts::new();
    assert_eq!(parts.add(b"17\0vbd\0"), Ok(Part::More(b"vbd\0")));
    assert_eq!(parts.offset(), 4);
    assert_eq!(parts.add(b"18\0vif\0\0"), Ok(Part::Changed));
    assert_eq!(parts.offset(), 0);
    assert_eq!(
        parts.add(b"18\0vbd\0vif\0\0"),
        Ok(Part::Last(b"vbd\0vif\0"))
    );
}

#[test]
fn parts_that_are_none() {
    for payload in [
        &b""[..],
        b"\0",
        b"17",
        b"17\0",
        b"17\0vbd",
        b"\0vbd\0",
        b"x\0vbd\0",
        b"-1\0vbd\0",
        b"123456789012345678901\0vbd\0",
    ] {
        assert_eq!(Parts::new().add(payload), Err(Malformed), "{payload:?}");
    }
}

#[test]
fn a_list_without_end_is_given_up() {
    let names = "x".repeat(4000);
    let payload = format!("1\0{names}\0");
    let mut parts = Parts::new();
    let mut rounds = 0;
    while parts.add(payload.as_bytes()).is_ok() {
        rounds += 1;
        assert!(parts.offset() <= LIST_MAX);
    }
    assert!(rounds > 200);
}

#[test]
fn a_list_in_tiny_parts_is_given_up() {
    // Of names that do not get on, and of a node that changes again and again.
    for payloads in [["1\0a\0", "1\0b\0"], ["1\0a\0", "2\0a\0"]] {
        let mut parts = Parts::new();
        let mut rounds = 0;
        for payload in payloads.iter().cycle() {
            if parts.add(payload.as_bytes()).is_err() {
                break;
            }
            rounds += 1;
            assert!(rounds <= PARTS_MAX);
        }
        assert_eq!(rounds, PARTS_MAX);
    }
}

proptest! {
    #[test]
    fn parts_make_up_the_list(list in prop::collection::vec("[a-z0-9-]{1,60}", 0..400)) {
        let list: Vec<u8> = list.iter().flat_map(|name| format!("{name}\0").into_bytes()).collect();
        let mut parts = Parts::new();
        let mut got = Vec::new();
        for round in 0.. {
            prop_assert!(round < 100, "no end");
            let reply = part(99, &list, parts.offset());
            prop_assert!(reply.len() <= PAYLOAD_MAX);
            match parts.add(&reply).expect("well formed") {
                Part::More(names) => got.extend_from_slice(names),
                Part::Last(names) => {
                    got.extend_from_slice(names);
                    break;
                }
                Part::Changed => prop_assert!(false, "nothing has changed"),
            }
        }
        prop_assert_eq!(got, list);
    }

    #[test]
    fn any_bytes_are_a_list_or_not(list: Vec<u8>) {
        if let Ok(names) = listed(&list) {
            prop_assert!(names.iter().all(|name| !name.is_empty() && !name.contains('/')));
        } else {
            prop_assert!(list.last().is_some_and(|byte| *byte != 0));
        }
    }

    #[test]
    fn any_bytes_are_a_part_or_not(payloads in prop::collection::vec(any::<Vec<u8>>(), 0..5)) {
        let mut parts = Parts::new();
        for payload in payloads {
            let before = parts.offset();
            match parts.add(&payload) {
                Ok(Part::More(names)) => prop_assert!(!names.is_empty() && parts.offset() == before + names.len()),
                Ok(Part::Last(names)) => prop_assert_eq!(parts.offset(), before + names.len()),
                Ok(Part::Changed) => prop_assert_eq!(parts.offset(), 0),
                Err(Malformed) => {}
            }
        }
    }
}
