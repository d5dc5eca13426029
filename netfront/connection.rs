// SPDX-License-Identifier: GPL-2.0

//! A connection to the backend: rings and channels, published in xenstore.

use crate::{
    card::{
        Card,
        Line, //
    },
    negotiate::Negotiated,
    rx,
    tx, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};
use rxenbus::{
    bus::Device,
    evtchn::Channel,
    store, //
};

/// Both directions. Dropping them unbinds the channels, ends the grants and frees the pages.
pub(crate) struct Connection {
    pub(crate) tx: tx::Connected,
    pub(crate) rx: rx::Connected,
}

impl Connection {
    /// The grant references of both directions: a ring and its slots each.
    pub(crate) const REFERENCES: usize = 2 + tx::RING as usize + rx::RING as usize;

    /// Sets rings and channels up and publishes them. May sleep.
    pub(crate) fn publish(
        device: &Device,
        card: &Arc<Card>,
        negotiated: &Negotiated,
    ) -> Result<Self> {
        let bind = |name| -> Result<Arc<Channel>> {
            let channel = Channel::bind(device, name, Line::handler(card.clone())?)?;
            Ok(Arc::new(channel, GFP_KERNEL)?)
        };
        let (tx_channel, rx_channel) = if negotiated.split_event_channels {
            (bind("tx")?, bind("rx")?)
        } else {
            let both = bind("queue")?;
            (both.clone(), both)
        };
        let connection = Self {
            tx: tx::Connected::new(device, tx_channel)?,
            rx: rx::Connected::new(device, rx_channel)?,
        };
        connection.write(device, negotiated)?;
        Ok(connection)
    }

    /// Writes the nodes that the backend reads (`include/xen/interface/io/netif.h`).
    fn write(&self, device: &Device, negotiated: &Negotiated) -> Result {
        let node = device.nodename();
        store::transaction(|open| {
            let write =
                |name, value: fmt::Arguments<'_>| store::write(Some(open), node, name, value);
            write(c"tx-ring-ref", fmt!("{}", self.tx.ring.gref()))?;
            write(c"rx-ring-ref", fmt!("{}", self.rx.ring.gref()))?;
            let tx_port = self.tx.channel.port();
            if negotiated.split_event_channels {
                write(c"event-channel-tx", fmt!("{}", tx_port))?;
                write(c"event-channel-rx", fmt!("{}", self.rx.channel.port()))?;
                // From a former connection to a backend without this.
                let _ = store::remove(Some(open), node, c"event-channel");
            } else {
                write(c"event-channel", fmt!("{}", tx_port))?;
                let _ = store::remove(Some(open), node, c"event-channel-tx");
                let _ = store::remove(Some(open), node, c"event-channel-rx");
            }
            for feature in [
                c"request-rx-copy",
                c"feature-rx-notify",
                c"feature-sg",
                c"feature-gso-tcpv4",
                c"feature-gso-tcpv6",
                c"feature-ipv6-csum-offload",
            ] {
                write(feature, fmt!("1"))?;
            }
            Ok(())
        })
    }
}
