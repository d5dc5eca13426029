/* SPDX-License-Identifier: GPL-2.0 */
/* The tracepoint of a suspend. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rxen

#if !defined(RXEN_SUSPEND_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define RXEN_SUSPEND_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(rxen_suspend_phase,
	TP_PROTO(const char *phase, u64 nanoseconds, bool failed),
	TP_ARGS(phase, nanoseconds, failed),
	TP_STRUCT__entry(
		__string(phase, phase)
		__field(u64, nanoseconds)
		__field(bool, failed)
	),
	TP_fast_assign(
		__assign_str(phase);
		__entry->nanoseconds = nanoseconds;
		__entry->failed = failed;
	),
	TP_printk("phase=%s ns=%llu failed=%d", __get_str(phase), __entry->nanoseconds, __entry->failed)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE rxen_trace
#include <trace/define_trace.h>
