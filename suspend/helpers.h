/* SPDX-License-Identifier: GPL-2.0 */
/* C macros that rxen_suspend calls from Rust. */
#ifndef RXEN_SUSPEND_HELPERS_H
#define RXEN_SUSPEND_HELPERS_H

#include <linux/types.h>

void rxen_suspend_trace(const char *phase, u64 nanoseconds, bool failed);

#endif
