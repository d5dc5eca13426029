// SPDX-License-Identifier: GPL-2.0

//! What the client counts, for the debugfs file `store`.

use kernel::{
    debugfs,
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// A figure that only grows.
pub(super) struct Counter(Atomic<u64>);

impl Counter {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Counts one.
    pub(super) fn count(&self) {
        self.add(1);
    }

    /// Counts several.
    pub(super) fn add(&self, several: usize) {
        self.0.add(several as u64, Relaxed);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// All figures, since the module was loaded.
        pub(super) struct Counters {
            $($(#[$doc])* pub(super) $name: Counter,)*
        }

        /// The figures of the one client.
        pub(super) static COUNTERS: Counters = Counters {
            $($name: Counter::new(),)*
        };

        impl Counters {
            /// Names and values.
            fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.0.load(Relaxed)),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Requests made.
    requests,
    /// Replies that met their request.
    replies,
    /// Of these, of a type that cannot be.
    wrong_type,
    /// Replies that met no request: late, or never asked for.
    unknown_id,
    /// Requests that got no reply in time.
    timeouts,
    /// Events of watches.
    events,
    /// Of these, not well formed.
    malformed_events,
    /// Of these, for watches that do not exist (any more).
    unknown_token,
    /// Of these, with a path outside what is watched.
    foreign_path,
    /// Of these, merged because the handler had not seen the ones before.
    merged,
    /// Names in lists that no node can have.
    bad_names,
    /// Memory that was not there for a reply or an event.
    no_memory,
    /// Times the ring was out of order, or xenstored said so.
    failures,
    /// New beginnings of the connection.
    reconnects,
    /// Restores of the domain.
    restores,
    /// Times the file `/dev/xen/xenbus` was opened.
    opened,
}

/// The contents of the debugfs file.
pub(crate) struct Report;

impl debugfs::Writer for Report {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(connection) = super::connection() {
            connection.describe(f)?;
        }
        for (name, value) in COUNTERS.all() {
            f.write_fmt(fmt!("{} {}\n", name, value))?;
        }
        Ok(())
    }
}
