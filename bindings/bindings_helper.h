/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads. Types that the kernel crate's own bindings have already are taken from there (see Kbuild), so
 * that a `struct page` of ours is a `struct page` of theirs.
 */

#include <linux/types.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/rcupdate.h>
#include <linux/timer.h>
#include <linux/pm.h>
#include <linux/pm_domain.h>
#include <linux/syscore_ops.h>
#include <linux/workqueue.h>

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/hdreg.h>
#include <linux/major.h>

#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/page_pool/helpers.h>
#include <net/page_pool/types.h>

#include <xen/interface/xen.h>
#include <xen/interface/event_channel.h>
#include <xen/interface/grant_table.h>
#include <xen/interface/hvm/hvm_op.h>
#include <xen/interface/hvm/params.h>
#include <xen/interface/memory.h>
#include <xen/interface/sched.h>
#include <xen/interface/vcpu.h>
#include <xen/interface/version.h>
#include <xen/interface/io/blkif.h>
#include <xen/interface/io/netif.h>
#include <xen/interface/io/ring.h>
#include <xen/interface/io/xenbus.h>
#include <xen/interface/io/xs_wire.h>

#include <asm/xen/cpuid.h>
#include <xen/events.h>
#include <xen/grant_table.h>
#include <xen/xen.h>
#include <xen/xenbus.h>

#include "../xenbus/helpers.h"
#include "../xenbus/evtchn/helpers.h"
#include "../xenbus/bus/helpers.h"
#include "../xenbus/store/helpers.h"
#include "../xenbus/suspend/helpers.h"
#include "../blkfront/mq/helpers.h"
#include "../netfront/net/helpers.h"
