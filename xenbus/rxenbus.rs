// SPDX-License-Identifier: GPL-2.0
//! test
use kernel::prelude::*;
module! {
    type: RxenbusModule,
    name: "rxenbus",
    authors: ["rxen"],
    description: "Xen frontends in Rust: grant table, event channels, xenstore, bus",
    license: "GPL",
}
struct RxenbusModule;
impl kernel::Module for RxenbusModule {
    fn init(_m: &'static ThisModule) -> Result<Self> {
        pr_info!("{}\n", size_of::<rxen_bindings::net_device>());
        Ok(Self)
    }
}
