/* SPDX-License-Identifier: GPL-2.0 */
/* C macros and inline functions that the native bus calls from Rust. */
#ifndef RXEN_BUS_HELPERS_H
#define RXEN_BUS_HELPERS_H

#include <linux/types.h>

struct workqueue_struct;

int rxen_bus_queue_create(void);
void rxen_bus_queue_destroy(void);
struct workqueue_struct *rxen_bus_queue(void);
/* rxen_bus_later_work is Rust, in xenbus/bus/native/again.rs. */
void rxen_bus_later_work(void);
void rxen_bus_later(unsigned int milliseconds);
void rxen_bus_later_cancel(void);
bool rxen_is_going_down(void);
void rxen_bus_request_suspend(void);

#endif
