// SPDX-License-Identifier: GPL-2.0

//! A small xenstored at the other end of a ring in memory, and the module's session at this end: only the page is a
//! replacement for `xenbus/store/native/link.rs`, and [`Hands`] for what `native/state.rs` and `native/watch.rs` do with
//! the kernel.

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
    backlog::{
        self,
        Backlog, //
    },
    dispatch::{
        self,
        Kept,
        Nobody, //
    },
    exchange::{
        End,
        Failure,
        Owner,
        Ring, //
    },
    framer::Message,
    matcher::Slot,
    phase::{
        Done,
        Way, //
    },
    ring::{
        Corrupt,
        Incoming,
        Outgoing,
        SIZE, //
    },
    session,
    wire::{
        Header,
        Token, //
    }, //
};

/// Milliseconds that the daemon has for a reply.
pub const LIMIT: u64 = 3000;

/// The shared page.
pub struct Page {
    pub requests: [u8; SIZE as usize],
    pub replies: [u8; SIZE as usize],
    pub request_consumer: u32,
    pub request_producer: u32,
    pub reply_consumer: u32,
    pub reply_producer: u32,
    /// Whether a new beginning is offered, and whether one was asked for.
    pub offers: bool,
    pub reconnecting: bool,
    pub error: Option<u32>,
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
            offers: false,
            reconnecting: false,
            error: None,
        }
    }
}

/// The page as this end sees it, with so many bytes that may be read and written.
struct View<'a> {
    page: &'a mut Page,
    outgoing: &'a mut Outgoing,
    incoming: &'a mut Incoming,
    may_read: usize,
    may_write: usize,
}

impl Ring for View<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Corrupt> {
        let page = &mut *self.page;
        let data = self
            .incoming
            .data(page.reply_consumer, page.reply_producer)?;
        let Some(data) = data else { return Ok(0) };
        let count = data.length.min(buffer.len()).min(self.may_read);
        buffer[..count].copy_from_slice(&page.replies[data.offset..][..count]);
        page.reply_consumer = self.incoming.read(count);
        self.may_read -= count;
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Corrupt> {
        let page = &mut *self.page;
        let room = self
            .outgoing
            .room(page.request_consumer, page.request_producer)?;
        let Some(room) = room else { return Ok(0) };
        let count = room.length.min(bytes.len()).min(self.may_write);
        page.requests[room.offset..][..count].copy_from_slice(&bytes[..count]);
        page.request_producer = self.outgoing.wrote(count);
        self.may_write -= count;
        Ok(count)
    }

    fn attach(&mut self) -> Result<(), Corrupt> {
        let page = &*self.page;
        *self.outgoing = Outgoing::attach(page.request_consumer, page.request_producer)?;
        *self.incoming = Incoming::attach(page.reply_consumer, page.reply_producer)?;
        Ok(())
    }

    fn error(&self) -> Option<u32> {
        self.page.error
    }

    fn can_reconnect(&self) -> bool {
        self.page.offers
    }

    fn reconnect(&mut self) {
        self.page.reconnecting = true;
    }

    fn is_reconnecting(&self) -> bool {
        self.page.offers && self.page.reconnecting
    }
}

/// What the client has got.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    Reply(Request, u32, Vec<u8>),
    WrongType(Request),
    Unknown(u32),
    Ended(Request, End),
    Event(Vec<u8>, Token),
    /// More has changed below the path of this watch than was kept.
    Overflow(Token),
    MalformedEvent,
    UnknownToken,
}

/// A watch, whose handler looks at its events when [`Client::handle`] says so.
pub struct Watch {
    token: Token,
    path: Vec<u8>,
    backlog: Backlog<Vec<u8>, Vec<Option<Vec<u8>>>>,
}

/// What the module does with the kernel.
pub struct Hands {
    pub got: Vec<Got>,
    pub failures: Vec<(Failure, Way)>,
    /// Requests that the session made by itself.
    pub aborts: usize,
    /// New beginnings.
    pub began: usize,
    watches: Vec<Watch>,
}

impl Owner<Request> for Hands {
    fn event(&mut self, payload: &[u8]) {
        let place = dispatch::find(&self.watches, |watch| watch.token, payload);
        match place.map(|(watch, path)| (watch.token, path)) {
            Err(Nobody::Malformed) => self.got.push(Got::MalformedEvent),
            Err(Nobody::Unknown) => self.got.push(Got::UnknownToken),
            Ok((token, path)) => {
                let watch = self.watches.iter_mut().find(|watch| watch.token == token);
                let Watch {
                    backlog,
                    path: watched,
                    ..
                } = watch.expect("just found");
                let kept = dispatch::keep(backlog, watched, path, |path| Some(path.to_vec()));
                assert_ne!(kept, Kept::NoMemory);
            }
        }
    }

    fn reply(&mut self, request: Request, message: Message<'_>, _connection: u32) {
        let reply = Got::Reply(request, message.header.kind, message.payload.to_vec());
        self.got.push(reply);
    }

    fn wrong_type(&mut self, request: Request) {
        self.got.push(Got::WrongType(request));
    }

    fn unknown(&mut self, id: u32) {
        self.got.push(Got::Unknown(id));
    }

    fn abort(&mut self, _transaction: u32) -> Option<Request> {
        self.aborts += 1;
        Some(Request(b"F\0".to_vec()))
    }

    fn ended(&mut self, request: &Request, end: End) {
        self.got.push(Got::Ended(request.clone(), end));
    }

    fn failed(&mut self, failure: &Failure, way: Way) {
        self.failures.push((*failure, way));
    }

    fn began(&mut self) {
        self.began += 1;
    }
}

type Session = session::Session<Request, Vec<Slot<Request>>, Vec<u8>>;

pub struct Client {
    pub session: Session,
    pub hands: Hands,
    outgoing: Outgoing,
    incoming: Incoming,
}

impl Client {
    /// The watches in the order of their tokens; the backlog of each has 32 places, as in the module.
    pub fn new(table: Table, page: &mut Page, watches: &[(Token, &str)]) -> Self {
        let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::default());
        let mut view = View {
            page,
            outgoing: &mut outgoing,
            incoming: &mut incoming,
            may_read: 0,
            may_write: 0,
        };
        view.attach().expect("in order");
        let session = Session::new(&view, table, framer(), LIMIT, 0);
        let watch = |(token, path): &(Token, &str)| Watch {
            token: *token,
            path: path.as_bytes().to_vec(),
            backlog: Backlog::new(vec![None; 32]),
        };
        Self {
            session,
            hands: Hands {
                got: vec![],
                failures: vec![],
                aborts: 0,
                began: 0,
                watches: watches.iter().map(watch).collect(),
            },
            outgoing,
            incoming,
        }
    }

    fn view<'a>(
        &'a mut self,
        page: &'a mut Page,
        may_read: usize,
        may_write: usize,
    ) -> (View<'a>, &'a mut Session, &'a mut Hands) {
        let view = View {
            page,
            outgoing: &mut self.outgoing,
            incoming: &mut self.incoming,
            may_read,
            may_write,
        };
        (view, &mut self.session, &mut self.hands)
    }

    /// One round.
    pub fn round(&mut self, page: &mut Page, now: u64) -> Done {
        let (mut view, session, hands) = self.view(page, usize::MAX, usize::MAX);
        session.round(&mut view, hands, now)
    }

    /// After a restore: goes on with this page.
    pub fn replace(&mut self, page: &mut Page, now: u64) {
        let (mut view, session, hands) = self.view(page, 0, 0);
        view.attach().expect("in order");
        session.replace(&view, now, |request| hands.ended(&request, End::Again));
    }

    /// Makes a request.
    pub fn ask(&mut self, kind: u32, payload: &[u8], now: u64) -> Option<u32> {
        let deadline = self.session.deadline(now);
        let request = Request(payload.to_vec());
        self.session.requests.add(kind, 0, request, deadline).ok()
    }

    /// Takes up to so many bytes, and has the handlers look.
    pub fn receive(&mut self, page: &mut Page, most: usize) -> Result<Vec<Got>, Failure> {
        self.part_of_a_round(page, most, 0)?;
        self.handle();
        Ok(std::mem::take(&mut self.hands.got))
    }

    /// Sends as much as there is room for.
    pub fn send(&mut self, page: &mut Page) -> Result<(), Failure> {
        self.part_of_a_round(page, 0, usize::MAX)
    }

    fn part_of_a_round(
        &mut self,
        page: &mut Page,
        may_read: usize,
        may_write: usize,
    ) -> Result<(), Failure> {
        let (mut view, session, hands) = self.view(page, may_read, may_write);
        session.round(&mut view, hands, 0);
        match self.hands.failures.pop() {
            Some((failure, _)) => Err(failure),
            None => Ok(()),
        }
    }

    /// The handlers of all watches look at their events.
    pub fn handle(&mut self) {
        self.handle_where(|_| true);
    }

    /// The handler of this watch does.
    pub fn handle_one(&mut self, token: Token) {
        self.handle_where(|other| other == token);
    }

    fn handle_where(&mut self, which: impl Fn(Token) -> bool) {
        let Hands { watches, got, .. } = &mut self.hands;
        for watch in watches.iter_mut().filter(|watch| which(watch.token)) {
            while let Some(event) = watch.backlog.pop() {
                got.push(match event {
                    backlog::Event::Changed(path) => Got::Event(path, watch.token),
                    backlog::Event::Overflow => Got::Overflow(watch.token),
                });
            }
        }
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

    /// Gives the connection a new beginning.
    pub fn reconnect(&mut self, page: &mut Page) {
        *self = Self::default();
        *page = Page {
            offers: page.offers,
            ..Page::starting_at(0, 0)
        };
    }

    /// Whether there is room for a small message behind all that it will say.
    pub fn has_room(&self, page: &Page) -> bool {
        let used = page.reply_producer.wrapping_sub(page.reply_consumer);
        self.unsent.is_empty() && used + 100 <= SIZE
    }

    pub fn is_silent(&self) -> bool {
        self.unsent.is_empty()
    }
}
