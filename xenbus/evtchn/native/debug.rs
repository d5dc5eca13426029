// SPDX-License-Identifier: GPL-2.0

//! What the guest says in its log when the toolstack asks for it: `xl debug-keys q` in dom0 has the hypervisor raise the
//! virtual interrupt for debugging in every domain, also in one that nobody can log in to any more.

use super::{
    events,
    memory::VcpuInfo,
    Events,
    Outcome, //
};
use crate::evtchn::{
    Channel,
    Handler, //
};
use core::sync::atomic::Ordering::Relaxed;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use rxen_bindings as bindings;

/// Answers as long as it lives.
pub(crate) struct Debug {
    _channel: Option<Channel>,
}

impl Debug {
    /// Binds the virtual interrupt. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`. Where the hypervisor does not give the interrupt, the log says so and the guest does without.
    pub(crate) fn start() -> Result<Self> {
        let answerer = Arc::new(Answerer, GFP_KERNEL)?;
        let channel = Channel::bind_virq(bindings::VIRQ_DEBUG, 0, "debug", answerer);
        Ok(Self {
            _channel: channel
                .inspect_err(|error| {
                    pr_notice!(
                        "no answers to the toolstack's debug keys ({})\n",
                        error.to_errno()
                    );
                })
                .ok(),
        })
    }
}

/// The handler.
struct Answerer;

impl Handler for Answerer {
    fn event(&self) -> Outcome {
        if let Some(events) = events() {
            say_processors(events);
            say_ports(events);
        }
        Outcome::Handled
    }

    fn stopped(&self) {}
}

/// A line for each CPU.
fn say_processors(events: &Events) {
    for cpu in &events.cpus {
        let pending = VcpuInfo::new(cpu.vcpu())
            .filter(|_| cpu.is_ready())
            .map(|info| info.upcall_pending().load(Relaxed) != 0);
        if let Some(pending) = pending {
            pr_info!(
                "debug: CPU {}: virtual CPU {}, {} ports, called {} times, {}\n",
                cpu.number(),
                cpu.vcpu(),
                cpu.ports(),
                cpu.upcalls(),
                if pending {
                    "is to be called"
                } else {
                    "nothing to be called for"
                }
            );
        }
    }
}

/// A line for each port that is bound.
fn say_ports(events: &Events) {
    let ports = events.ports();
    events.table.each(|port, line| {
        let (pending, masked) = ports.look(port);
        pr_info!(
            "debug: port {}: interrupt {}, CPU {}{}{}\n",
            port,
            line.irq(),
            line.cpu(),
            if pending { ", has an event" } else { "" },
            if masked { ", masked" } else { "" }
        );
    });
}
