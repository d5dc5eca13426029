/* SPDX-License-Identifier: GPL-2.0 */
/* C macros and inline functions that the core of rxen calls from Rust. */
#ifndef RXEN_XENBUS_HELPERS_H
#define RXEN_XENBUS_HELPERS_H

#include <linux/types.h>

struct page;
struct sk_buff;
struct work_struct;

/* What this guest is to the kernel's own Xen core; NONE where that core is absent or switched off. */
enum rxen_domain {
	RXEN_DOMAIN_NONE,
	RXEN_DOMAIN_PV,
	RXEN_DOMAIN_PVH,
	RXEN_DOMAIN_HVM,
};

void *rxen_page_address(struct page *page);
bool rxen_page_hold(struct page *page);
void rxen_page_put(struct page *page);
void rxen_buffer_put(struct sk_buff *buffer);
unsigned long rxen_page_to_gfn(struct page *page);
void rxen_virt_mb(void);
void rxen_virt_wmb(void);
void rxen_virt_rmb(void);
u32 rxen_cpuid_base(void);
u32 rxen_domain_type(void);
bool rxen_has_pv_disks(void);
bool rxen_has_pv_nics(void);
bool rxen_has_emulated_disks(void);

void rxen_work_init(struct work_struct *work, void (*function)(struct work_struct *work));
void rxen_work_schedule(struct work_struct *work);

/* The worker that retries deferred grants; rxen_deferred_work is Rust, in xenbus/grant/deferred.rs. */
void rxen_deferred_work(void);
void rxen_deferred_schedule(unsigned int milliseconds);
void rxen_deferred_cancel(void);

#endif
