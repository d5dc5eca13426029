/* SPDX-License-Identifier: GPL-2.0 */
/* The work queues of the native xenstore client, and what of wait and memory has no binding. */
#ifndef RXEN_STORE_HELPERS_H
#define RXEN_STORE_HELPERS_H

#include <linux/types.h>

struct workqueue_struct;

/* Rust, in xenbus/store/native.rs. */
void rxen_store_pump(void);

int rxen_store_start(void);
void rxen_store_stop(void);
void rxen_store_event(void);
void rxen_store_tick(unsigned int milliseconds);
struct workqueue_struct *rxen_store_watches(void);

unsigned int rxen_noio_begin(void);
void rxen_noio_end(unsigned int flags);

#endif
