// SPDX-License-Identifier: GPL-2.0

//! What could not be done because xenstored gave no answer, or for want of memory, is tried again.

use super::{
    agent::{
        Agent,
        Order, //
    },
    AGENTS, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use rxen_bindings as bindings;

/// How long to wait after an attempt: it may have failed at once.
const PAUSE: Delta = Delta::from_millis(1000);

/// Whether an error says nothing about what was asked for, so that it is to be asked for again: there was no answer, no
/// memory, or no connection.
pub(super) fn passes(error: Error) -> bool {
    error == ETIMEDOUT || error == ENOMEM || error == EIO
}

/// Has an agent do again what it could not. False where the reason does not pass, or where the bus goes.
pub(super) fn order_again(agent: &Arc<Agent>, order: Order, reason: Error) -> bool {
    if !passes(reason) {
        return false;
    }
    let agents = AGENTS.lock();
    if agents.ending {
        return false;
    }
    agent.order_later(order);
    // SAFETY: The queue exists as long as there are agents at work; the bus cancels this when it goes, after it has said
    // so under the lock that is held.
    unsafe { bindings::rxen_bus_later(PAUSE.as_millis() as c_uint) };
    true
}

/// Called by the delayed work of `helpers.c`. Process context.
#[no_mangle]
extern "C" fn rxen_bus_later_work() {
    let agents = AGENTS.lock();
    if !agents.ending {
        agents.list.iter().for_each(Agent::order_put_off);
    }
}

/// Asks xenstored until it gives an answer, or the bus goes.
pub(super) fn until_answered<T>(ask: impl Fn() -> Result<T>) -> Result<T> {
    loop {
        match ask() {
            Err(error) if [ETIMEDOUT, ENOMEM].contains(&error) && !AGENTS.lock().ending => {
                fsleep(PAUSE)
            }
            result => return result,
        }
    }
}
