// SPDX-License-Identifier: GPL-2.0

//! A small xenstored at the other end of a ring in memory, and the client's end put together from the pure parts as
//! `xenbus/store/native/connection.rs` does.

use crate::{
    framing::{
        framer,
        message, //
    },
    matching::{
        Request,
        Table, //
    },
};
use pure_xenbus::store::{
    framer::Framer,
    matcher::Match,
    ring::{
        Corrupt,
        Incoming,
        Outgoing,
        SIZE, //
    },
    wire::{
        kind,
        two_strings,
        Header,
        Token, //
    }, //
};

/// The shared page.
pub struct Page {
    pub requests: [u8; SIZE as usize],
    pub replies: [u8; SIZE as usize],
    pub request_consumer: u32,
    pub request_producer: u32,
    pub reply_consumer: u32,
    pub reply_producer: u32,
}

impl Page {
    pub fn starting_at(requests: u32, replies: u32) -> Self {
        Self {
            // What was there before means nothing.
            requests: [0xa5; SIZE as usize],
            replies: [0x5a; SIZE as usize],
            request_consumer: requests,
            request_producer: requests,
            reply_consumer: replies,
            reply_producer: replies,
        }
    }
}

/// What the client has got.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    Reply(Request, u32, Vec<u8>),
    WrongType(Request),
    Unknown(u32),
    Event(Vec<u8>, Token),
    MalformedEvent,
    UnknownToken,
}

/// Why the client cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    Ring(Corrupt),
    TooLong(u32),
}

pub struct Client {
    pub table: Table,
    pub framer: Framer<Vec<u8>>,
    outgoing: Outgoing,
    incoming: Incoming,
    tokens: Vec<Token>,
}

impl Client {
    pub fn new(table: Table, page: &Page, tokens: Vec<Token>) -> Self {
        Self {
            table,
            framer: framer(),
            outgoing: Outgoing::attach(page.request_consumer, page.request_producer)
                .expect("in order"),
            incoming: Incoming::attach(page.reply_consumer, page.reply_producer).expect("in order"),
            tokens,
        }
    }

    /// Takes up to so many bytes.
    pub fn receive(&mut self, page: &mut Page, most: usize) -> Result<Vec<Got>, Lost> {
        let mut got = Vec::new();
        let data = self
            .incoming
            .data(page.reply_consumer, page.reply_producer)
            .map_err(Lost::Ring)?;
        let Some(data) = data else { return Ok(got) };
        let count = data.length.min(most);
        let bytes = page.replies[data.offset..][..count].to_vec();
        page.reply_consumer = self.incoming.read(count);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (taken, message) = self
                .framer
                .take(rest)
                .map_err(|long| Lost::TooLong(long.header.length))?;
            if let Some(message) = message {
                got.push(Self::sort(
                    &mut self.table,
                    &self.tokens,
                    message.header,
                    message.payload,
                ));
            }
            rest = &rest[taken..];
        }
        Ok(got)
    }

    fn sort(table: &mut Table, tokens: &[Token], header: Header, payload: &[u8]) -> Got {
        if header.kind == kind::WATCH_EVENT {
            return match two_strings(payload) {
                None => Got::MalformedEvent,
                Some((path, token)) => {
                    match Token::parse(token).filter(|token| tokens.contains(token)) {
                        Some(token) => Got::Event(path.to_vec(), token),
                        None => Got::UnknownToken,
                    }
                }
            };
        }
        match table.reply(&header) {
            Match::Reply(request) => Got::Reply(request, header.kind, payload.to_vec()),
            Match::WrongType(request) => Got::WrongType(request),
            Match::Late | Match::Unknown => Got::Unknown(header.id),
        }
    }

    /// Sends as much as there is room for.
    pub fn send(&mut self, page: &mut Page) -> Result<(), Lost> {
        let outgoing = &mut self.outgoing;
        let write = |bytes: &[u8]| {
            let Some(room) = outgoing.room(page.request_consumer, page.request_producer)? else {
                return Ok(0);
            };
            let count = room.length.min(bytes.len());
            page.requests[room.offset..][..count].copy_from_slice(&bytes[..count]);
            page.request_producer = outgoing.wrote(count);
            Ok(count)
        };
        self.table
            .send(|_| true, write)
            .map(|_| ())
            .map_err(Lost::Ring)
    }
}

/// The other end: takes requests apart, and says what it is told to.
#[derive(Default)]
pub struct Daemon {
    read: Vec<u8>,
    unsent: Vec<u8>,
    pub requests: Vec<(Header, Vec<u8>)>,
}

impl Daemon {
    /// Takes up to so many bytes of requests.
    pub fn read(&mut self, page: &mut Page, most: usize) {
        let there = page.request_producer.wrapping_sub(page.request_consumer);
        assert!(there <= SIZE, "the client has broken the ring");
        for _ in 0..(there as usize).min(most) {
            self.read
                .push(page.requests[(page.request_consumer % SIZE) as usize]);
            page.request_consumer = page.request_consumer.wrapping_add(1);
        }
        while let Some(header) = self.read.first_chunk().map(Header::decode) {
            let length = header.length as usize;
            if self.read.len() < 16 + length {
                break;
            }
            let message: Vec<u8> = self.read.drain(..16 + length).collect();
            self.requests.push((header, message[16..].to_vec()));
        }
    }

    /// Will say this.
    pub fn say(&mut self, header: Header, payload: &[u8]) {
        self.unsent.extend(message(header, payload));
    }

    /// Will say these bytes, whatever they are.
    pub fn say_raw(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Writes up to so many bytes of what it will say.
    pub fn write(&mut self, page: &mut Page, most: usize) {
        let room = SIZE - page.reply_producer.wrapping_sub(page.reply_consumer);
        let count = self.unsent.len().min(room as usize).min(most);
        for byte in self.unsent.drain(..count) {
            page.replies[(page.reply_producer % SIZE) as usize] = byte;
            page.reply_producer = page.reply_producer.wrapping_add(1);
        }
    }

    pub fn is_silent(&self) -> bool {
        self.unsent.is_empty()
    }
}
