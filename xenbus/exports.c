// SPDX-License-Identifier: GPL-2.0
/* Exports the core's Rust symbols to the frontends; the list is generated from the object by Kbuild. */
#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
