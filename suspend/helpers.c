// SPDX-License-Identifier: GPL-2.0
/* C macros that rxen_suspend calls from Rust. */
#include "helpers.h"

#define CREATE_TRACE_POINTS
#include "rxen_trace.h"

void rxen_suspend_trace(const char *phase, u64 nanoseconds, bool failed)
{
	trace_rxen_suspend_phase(phase, nanoseconds, failed);
}
