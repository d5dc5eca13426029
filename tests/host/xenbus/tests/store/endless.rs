// SPDX-License-Identifier: GPL-2.0

//! A xenstored that writes as fast as its ring is read: one round ends all the same (X14).

use crate::{
    framing::framer,
    matching::{
        table,
        Request, //
    },
};
use pure_xenbus::store::{
    exchange::{
        self,
        End,
        Failure,
        Owner,
        Received,
        Ring,
        PIECE,
        PIECES, //
    },
    framer::Message,
    phase::Way,
    ring::Corrupt,
    wire::{
        kind,
        Header, //
    }, //
};

/// A ring that always has more of the same message.
struct Endless {
    message: Vec<u8>,
    next: usize,
    read: usize,
}

impl Ring for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Corrupt> {
        for place in buffer.iter_mut() {
            *place = self.message[self.next];
            self.next = (self.next + 1) % self.message.len();
        }
        self.read += buffer.len();
        // Else a round without end would be a test without end.
        assert!(self.read <= 2 * PIECES * PIECE, "the round does not end");
        Ok(buffer.len())
    }

    fn write(&mut self, _bytes: &[u8]) -> Result<usize, Corrupt> {
        Ok(0)
    }

    fn attach(&mut self) -> Result<(), Corrupt> {
        Ok(())
    }

    fn error(&self) -> Option<u32> {
        None
    }

    fn can_reconnect(&self) -> bool {
        false
    }

    fn reconnect(&mut self) {}

    fn is_reconnecting(&self) -> bool {
        false
    }
}

/// Counts what comes; nothing but events may.
#[derive(Default)]
struct Events(usize);

impl Owner<Request> for Events {
    fn event(&mut self, payload: &[u8]) {
        assert_eq!(payload, b"path\00000000000000005\0");
        self.0 += 1;
    }

    fn reply(&mut self, _request: Request, _message: Message<'_>, _connection: u32) {
        panic!("nothing was asked");
    }

    fn wrong_type(&mut self, _request: Request) {
        panic!("nothing was asked");
    }

    fn unknown(&mut self, _id: u32) {
        panic!("these are events");
    }

    fn abort(&mut self, _transaction: u32) -> Option<Request> {
        panic!("nothing was asked");
    }

    fn ended(&mut self, _request: &Request, _end: End) {
        panic!("nothing was asked");
    }

    fn failed(&mut self, _failure: &Failure, _way: Way) {
        panic!("all is in order");
    }

    fn began(&mut self) {}
}

#[test]
fn x14_a_round_ends_although_there_is_always_more() {
    let payload = b"path\00000000000000005\0";
    let header = Header {
        kind: kind::WATCH_EVENT,
        id: 0,
        transaction: 0,
        length: payload.len() as u32,
    };
    let message = [&header.encode()[..], payload].concat();
    let length = message.len();
    let mut ring = Endless {
        message,
        next: 0,
        read: 0,
    };
    let (mut framer, mut requests, mut events) = (framer(), table(4, 0), Events::default());
    let received = exchange::receive(&mut ring, &mut framer, &mut requests, &mut events, 0, 0);
    let expected = Received {
        bytes: PIECES * PIECE,
        more: true,
    };
    assert_eq!(received, Ok(expected));
    assert_eq!(events.0, PIECES * PIECE / length);
}
