// SPDX-License-Identifier: GPL-2.0

//! Hears what the toolstack asks for, in `control/shutdown` and `control/sysrq`.
//!
//! A request is acknowledged before it is carried out, by emptying the node: the toolstack waits for that, and one that
//! takes back a suspend which was not acknowledged would resume the guest in the wrong way.

use crate::{
    guest,
    phases::Outcome,
    report::Report,
    request::{
        self,
        Request, //
    }, //
};
use kernel::{
    prelude::*,
    str::BStr,
    sync::Arc, //
};
use rxenbus::{
    store::{
        self,
        retry, //
    },
    suspend as steps,
    worker::{
        Errand,
        Next,
        Worker, //
    }, //
};

/// The folder.
const CONTROL: &CStr = c"control";
/// What the guest says it can, in nodes that the toolstack has made for that.
const FEATURES: [&CStr; 3] = [c"feature-poweroff", c"feature-reboot", c"feature-suspend"];

/// How often a request is asked for where xenstored does not answer in time.
const ATTEMPTS: u32 = 5;

/// When a request that could not be read is looked for again, in milliseconds: the event that told of it does not come
/// twice.
const LOOK_AGAIN_MS: u32 = 10_000;

/// Ears for both nodes. Dropping it takes back what was announced and waits until nothing is being carried out.
pub(crate) struct Control {
    // In this order: watches first, so that nothing is begun any more.
    _watches: [store::Watch; 2],
    _workers: [Arc<Worker>; 2],
    _announced: Announced,
}

impl Control {
    /// Announces what is understood, and listens.
    pub(crate) fn start(report: Arc<Report>) -> Result<Self> {
        let announced = Announced::new();
        let shutdown = Arc::new(
            Worker::new(Arc::new(Shutdown { report }, GFP_KERNEL)?)?,
            GFP_KERNEL,
        )?;
        let sysrq = Arc::new(Worker::new(Arc::new(Sysrq, GFP_KERNEL)?)?, GFP_KERNEL)?;
        Ok(Self {
            _watches: [
                watch(c"control/shutdown", &shutdown)?,
                watch(c"control/sysrq", &sysrq)?,
            ],
            _workers: [shutdown, sysrq],
            _announced: announced,
        })
    }
}

/// Has a worker run whenever a node changes.
fn watch(path: &CStr, worker: &Arc<Worker>) -> Result<store::Watch> {
    store::Watch::new(path, Arc::new(Ear(worker.clone()), GFP_KERNEL)?)
}

/// Has a worker run.
struct Ear(Arc<Worker>);

impl store::WatchHandler for Ear {
    fn changed(&self, _path: &CStr) {
        self.0.schedule();
    }
}

/// What the guest has said it can. Dropping it takes that back.
struct Announced;

impl Announced {
    /// Announces all.
    fn new() -> Self {
        announce();
        Self
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        for feature in FEATURES {
            let _ = store::write(None, CONTROL, feature, fmt!(""));
        }
    }
}

/// Writes the nodes that say what the guest can. A toolstack that does not let the guest write one may ask all the same.
fn announce() {
    for feature in FEATURES {
        if let Err(error) = store::write(None, CONTROL, feature, fmt!("1")) {
            pr_warn!("cannot write control/{} ({:?})\n", feature, error);
        }
    }
}

/// Reads a request and acknowledges it, both in one transaction, if `understands` it.
///
/// Where it is not known whether the acknowledgement has come through and the node is empty afterwards, the request is not
/// carried out: the toolstack may have taken it back.
fn take<T>(node: &CStr, understands: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>> {
    retry::bounded(
        ATTEMPTS,
        ETIMEDOUT,
        |_| {},
        || take_once(node, &understands),
    )
}

/// As [`take`], asking once.
fn take_once<T>(node: &CStr, understands: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>> {
    let mut taken = None;
    store::transaction(|open| {
        taken = None;
        let value = match store::read_in(open, CONTROL, node) {
            Ok(value) => value,
            Err(error) if error == ENOENT => return Ok(()),
            Err(error) => return Err(error),
        };
        if request::is_empty(&value) {
            return Ok(());
        }
        taken = understands(&value);
        if taken.is_none() {
            pr_info!("{}: not understood: {}\n", node, BStr::from_bytes(&value));
            return Ok(());
        }
        store::write(Some(open), CONTROL, node, fmt!(""))
    })?;
    Ok(taken)
}

/// Says that a node could not be read, or a request not be acknowledged, and that it is looked at again.
fn not_read(node: &CStr, error: Error) -> Next {
    pr_err!(
        "cannot read or acknowledge control/{} ({:?}); looking again in {} s\n",
        node,
        error,
        LOOK_AGAIN_MS / 1000
    );
    Next::After(LOOK_AGAIN_MS)
}

/// Carries out what `control/shutdown` asks for.
struct Shutdown {
    report: Arc<Report>,
}

impl Errand for Shutdown {
    fn run(&self) -> Next {
        match take(c"shutdown", Request::from_value) {
            Ok(Some(request)) => {
                pr_info!("the toolstack asks for {}\n", request.name());
                match request {
                    Request::PowerOff | Request::Halt => steps::power_off(),
                    Request::Reboot => steps::reboot(),
                    Request::Suspend => self.suspend(),
                }
            }
            Ok(None) => {}
            Err(error) => return not_read(c"shutdown", error),
        }
        Next::Done
    }
}

impl Shutdown {
    /// Suspends. What was announced is announced again to a toolstack that does not know.
    fn suspend(&self) {
        if guest::suspend(&self.report) == Ok(Outcome::Restored) {
            announce();
        }
    }
}

/// Carries out what `control/sysrq` asks for.
struct Sysrq;

impl Errand for Sysrq {
    fn run(&self) -> Next {
        match take(c"sysrq", request::sysrq_key) {
            Ok(Some(key)) => steps::sysrq(key),
            Ok(None) => {}
            Err(error) => return not_read(c"sysrq", error),
        }
        Next::Done
    }
}
