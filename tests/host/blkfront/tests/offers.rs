// SPDX-License-Identifier: GPL-2.0

//! Reading a backend's offers: no error looks like a node that is absent.

use pure_blkfront::negotiate::{
    negotiate,
    Flush,
    Offers, //
};
use std::{
    cell::RefCell,
    ffi::CStr, //
};

/// A backend with all features, of which the node `broken` cannot be read. Also what was asked for.
fn gather(broken: &str) -> (Result<Offers, &'static str>, Vec<String>) {
    let asked = RefCell::new(Vec::new());
    let ask = |node: &CStr| {
        let node = node.to_str().unwrap().to_owned();
        asked.borrow_mut().push(node.clone());
        if node == broken {
            Err("no answer")
        } else {
            Ok(node)
        }
    };
    let number = |node: &CStr| {
        let node = ask(node)?;
        Ok((node == "sectors").then_some(2048))
    };
    let flag = |node: &CStr| ask(node).map(|_| true);
    let offers = Offers::gather(number, flag);
    (offers, asked.into_inner())
}

#[test]
fn each_node_is_read_once() {
    let (offers, mut asked) = gather("");
    let offers = offers.unwrap();
    assert!(offers.flush && offers.barrier && offers.discard && offers.secure_erase);
    assert_eq!(negotiate(&offers, 32).unwrap().flush, Flush::Cache);
    let count = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), count);
    assert_eq!(count, 11);
}

#[test]
fn a_node_that_cannot_be_read_is_an_error() {
    for node in gather("").1 {
        let (offers, asked) = gather(&node);
        assert_eq!(offers.unwrap_err(), "no answer", "{node}");
        assert_eq!(asked.last(), Some(&node));
    }
}
