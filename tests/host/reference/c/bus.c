// SPDX-License-Identifier: GPL-2.0
/* The numbers of the bus's states (include/xen/interface/io/xenbus.h). */
#include <stdint.h>
#include <xen/interface/io/xenbus.h>

void reference_bus_states(uint32_t to[9])
{
	to[0] = XenbusStateUnknown;
	to[1] = XenbusStateInitialising;
	to[2] = XenbusStateInitWait;
	to[3] = XenbusStateInitialised;
	to[4] = XenbusStateConnected;
	to[5] = XenbusStateClosing;
	to[6] = XenbusStateClosed;
	to[7] = XenbusStateReconfiguring;
	to[8] = XenbusStateReconfigured;
}
