// SPDX-License-Identifier: GPL-2.0

//! Reading a backend's offers: no error looks like a node that is absent.

use pure_netfront::negotiate::Offers;
use std::cell::RefCell;

/// A backend with all features, of which the node `broken` cannot be read. Also what was asked for.
fn gather(broken: &str) -> (Result<Offers, &'static str>, Vec<String>) {
    let asked = RefCell::new(Vec::new());
    let offers = Offers::gather(|node| {
        let node = node.to_str().unwrap();
        asked.borrow_mut().push(node.to_owned());
        if node == broken {
            Err("no answer")
        } else {
            Ok(true)
        }
    });
    (offers, asked.into_inner())
}

#[test]
fn each_node_is_read_once() {
    let (offers, mut asked) = gather("");
    let all = Offers {
        rx_copy: true,
        split_event_channels: true,
        scatter_gather: true,
        gso_tcpv4: true,
        gso_tcpv6: true,
        ipv6_checksum: true,
    };
    assert_eq!(offers, Ok(all));
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 6);
}

#[test]
fn a_node_that_cannot_be_read_is_an_error() {
    for node in gather("").1 {
        let (offers, asked) = gather(&node);
        assert_eq!(offers, Err("no answer"), "{node}");
        assert_eq!(asked.last(), Some(&node));
    }
}
