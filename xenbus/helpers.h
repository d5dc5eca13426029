/* SPDX-License-Identifier: GPL-2.0 */
/* C macros and inline functions that the core of rxen calls from Rust. */
#ifndef RXEN_XENBUS_HELPERS_H
#define RXEN_XENBUS_HELPERS_H

#include <linux/mm.h>
#include <linux/types.h>

struct page;
struct pci_dev;
struct sk_buff;
struct work_struct;

/* What this guest is to the kernel's own Xen core; NONE where that core is absent or switched off. */
enum rxen_domain {
	RXEN_DOMAIN_NONE,
	RXEN_DOMAIN_PV,
	RXEN_DOMAIN_PVH,
	RXEN_DOMAIN_HVM,
};

/* How many kinds of hypercalls are counted: those of `Kind` in xenbus/hypercall.rs. */
#define RXEN_HYPERCALL_KINDS 7

/* How far the guest has gone with an emulated device, in this order. */
enum rxen_use {
	RXEN_USE_UNBOUND,
	RXEN_USE_NOTHING,
	RXEN_USE_IDLE,
	RXEN_USE_USED,
};

/*
 * Those of the slab allocators have none: they cannot be kept from being used again. Of several pages that belong together
 * only the first one says what they are.
 */
static inline bool rxen_page_has_references(const struct page *page)
{
	const struct folio *folio = page_folio(page);

	return !folio_test_slab(folio) && !folio_test_large_kmalloc(folio);
}

void *rxen_page_address(struct page *page);
struct page *rxen_address_to_page(const void *address);
bool rxen_page_hold(struct page *page);
void rxen_page_put(struct page *page);
void rxen_buffer_put(struct sk_buff *buffer);
unsigned long rxen_page_to_gfn(struct page *page);
void rxen_virt_mb(void);
void rxen_virt_wmb(void);
void rxen_virt_rmb(void);
u32 rxen_cpuid_base(void);
void rxen_cpuid(u32 leaf, u32 registers[4]);
bool rxen_cpu_has_vmmcall(void);
bool rxen_has_platform_device(void);
u32 rxen_emulated_use(struct pci_dev *device);
void rxen_wait_for_probe(struct pci_dev *device);
void rxen_shutdown_register(void);
void rxen_shutdown_unregister(void);
/* In xenbus/native/shutdown.rs. */
void rxen_native_shutdown(void);
u8 rxen_inb(u16 port);
u16 rxen_inw(u16 port);
void rxen_outw(u16 value, u16 port);
void rxen_outl(u32 value, u16 port);
const char *rxen_parameter_unplug(void);
u32 rxen_domain_type(void);
#ifdef CONFIG_XEN
bool rxen_has_pv_disks(void);
bool rxen_has_pv_nics(void);
bool rxen_has_emulated_disks(void);
#endif

void rxen_work_init(struct work_struct *work, void (*function)(struct work_struct *work));
void rxen_work_schedule(struct work_struct *work);

/* Work that takes its time, or that is to run later. The first field of a delayed_work is its work_struct. */
void rxen_long_work_init(struct delayed_work *work, void (*function)(struct work_struct *work));
void rxen_long_work_schedule(struct delayed_work *work, unsigned int milliseconds);
void rxen_long_work_schedule_later(struct delayed_work *work, unsigned int milliseconds);

/* The worker that retries deferred grants; rxen_deferred_work is Rust, in xenbus/grant/deferred.rs. */
void rxen_deferred_work(void);
void rxen_deferred_schedule(unsigned int milliseconds);
void rxen_deferred_cancel(void);

/* The worker that tells who waits for grants; rxen_waiting_work is Rust, in xenbus/grant/waiting.rs. */
void rxen_waiting_work(void);
void rxen_waiting_schedule(unsigned int milliseconds);
void rxen_waiting_flush(void);
void rxen_waiting_cancel(void);

bool rxen_has_wide_frames(void);

void rxen_hypercall_count(unsigned int kind);
u64 rxen_hypercall_sum(unsigned int kind);

#endif
