// SPDX-License-Identifier: GPL-2.0
/* C macros and inline functions of the network stack that the network frontend calls from Rust. */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>

#include "helpers.h"

/* Bytes of a received frame that are copied to the head of its buffer, so that the stack finds the headers there. */
#define HEAD_BYTES 256

/* What lies behind a network device. */
struct rxen_net_private {
	void *data;
	struct napi_struct napi;
	struct delayed_work poll_later;
	struct delayed_work announce;
	int announcements;
};

/* How long the queue may be stopped before the stack asks what is the matter. A backend may be slow. */
#define WATCHDOG_SECONDS 30

/* How often and how long apart a new place is announced. */
#define ANNOUNCEMENTS 3
#define ANNOUNCE_MS 300

/* In process context the softirq would wait for the next interrupt; so it runs when bottom halves are enabled again. */
static void schedule_in_process(struct rxen_net_private *private)
{
	local_bh_disable();
	napi_schedule(&private->napi);
	local_bh_enable();
}

static void poll_later_worker(struct work_struct *work)
{
	schedule_in_process(container_of(work, struct rxen_net_private, poll_later.work));
}

static void announce_worker(struct work_struct *work)
{
	struct rxen_net_private *private = container_of(work, struct rxen_net_private, announce.work);

	netdev_notify_peers(private->napi.dev);
	if (--private->announcements > 0)
		schedule_delayed_work(&private->announce, msecs_to_jiffies(ANNOUNCE_MS));
}

/* One queue each way. data is what rxen_net_data gives back; free_netdev ends all of it. */
struct net_device *rxen_net_alloc(struct device *parent, void *data,
				  int (*poll)(struct napi_struct *napi, int budget))
{
	struct net_device *dev = alloc_etherdev_mqs(sizeof(struct rxen_net_private), 1, 1);
	struct rxen_net_private *private;

	if (!dev)
		return NULL;
	private = netdev_priv(dev);
	private->data = data;
	INIT_DELAYED_WORK(&private->poll_later, poll_later_worker);
	INIT_DELAYED_WORK(&private->announce, announce_worker);
	netif_napi_add(dev, &private->napi, poll);
	SET_NETDEV_DEV(dev, parent);
	dev->watchdog_timeo = WATCHDOG_SECONDS * HZ;
	netif_carrier_off(dev);
	return dev;
}

void *rxen_net_data(const struct net_device *dev)
{
	const struct rxen_net_private *private = netdev_priv(dev);

	return private->data;
}

struct net_device *rxen_net_of_napi(const struct napi_struct *napi)
{
	return napi->dev;
}

void rxen_net_set_ops(struct net_device *dev, const struct net_device_ops *ops,
		      const struct ethtool_ops *ethtool_ops)
{
	dev->netdev_ops = ops;
	dev->ethtool_ops = ethtool_ops;
}

void rxen_net_set_first_mtu(struct net_device *dev, unsigned int mtu, unsigned int max_mtu)
{
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = max_mtu;
	dev->mtu = min(mtu, max_mtu);
}

const char *rxen_net_name(const struct net_device *dev)
{
	return netdev_name(dev);
}

bool rxen_net_is_running(const struct net_device *dev)
{
	return netif_running(dev);
}

/* All that a backend may support; what this one does not, fix_features takes away. */
void rxen_net_set_features(struct net_device *dev)
{
	dev->hw_features = NETIF_F_SG | NETIF_F_IPV6_CSUM | NETIF_F_TSO | NETIF_F_TSO6;
	dev->features = dev->hw_features | NETIF_F_IP_CSUM | NETIF_F_RXCSUM | NETIF_F_GSO_ROBUST;
}

void rxen_net_set_address(struct net_device *dev, const u8 *address)
{
	eth_hw_addr_set(dev, address);
}

/* Has the stack ask for the features anew; an MTU that is too large now is lowered. */
void rxen_net_update_features(struct net_device *dev, unsigned int max_mtu)
{
	rtnl_lock();
	dev->max_mtu = max_mtu;
	if (dev->mtu > max_mtu)
		dev_set_mtu(dev, max_mtu);
	netdev_update_features(dev);
	rtnl_unlock();
}

/*
 * The link watch holds a device from an event until it has run. Unregistering waits for that, but nobody does for an event
 * that comes afterwards: the device would be freed under it. Who has seen that it is registered, within one RCU read
 * section, comes before.
 */
void rxen_net_set_carrier(struct net_device *dev, bool on)
{
	rcu_read_lock();
	if (READ_ONCE(dev->reg_state) <= NETREG_REGISTERED) {
		if (on)
			netif_carrier_on(dev);
		else
			netif_carrier_off(dev);
	}
	rcu_read_unlock();
}

void rxen_net_napi_enable(struct net_device *dev)
{
	struct rxen_net_private *private = netdev_priv(dev);

	napi_enable(&private->napi);
}

void rxen_net_napi_disable(struct net_device *dev)
{
	struct rxen_net_private *private = netdev_priv(dev);

	cancel_delayed_work_sync(&private->poll_later);
	napi_disable(&private->napi);
	/* The poll may have asked for another one just before. */
	cancel_delayed_work_sync(&private->poll_later);
}

/*
 * Tells switches and neighbours where the device is now. Not at once and not once only: when the carrier has just come,
 * the stack drops what is sent until its link watch has run, and so does a bridge behind the backend.
 */
void rxen_net_announce(struct net_device *dev)
{
	struct rxen_net_private *private = netdev_priv(dev);

	cancel_delayed_work_sync(&private->announce);
	private->announcements = ANNOUNCEMENTS;
	schedule_delayed_work(&private->announce, msecs_to_jiffies(ANNOUNCE_MS));
}

/* Before the device is unregistered; not under rtnl, which the worker takes. */
void rxen_net_announce_cancel(struct net_device *dev)
{
	struct rxen_net_private *private = netdev_priv(dev);

	cancel_delayed_work_sync(&private->announce);
}

void rxen_net_napi_schedule(struct net_device *dev)
{
	struct rxen_net_private *private = netdev_priv(dev);

	napi_schedule(&private->napi);
}

void rxen_net_napi_start(struct net_device *dev)
{
	schedule_in_process(netdev_priv(dev));
}

bool rxen_net_napi_complete(struct net_device *dev, int done)
{
	struct rxen_net_private *private = netdev_priv(dev);

	return napi_complete_done(&private->napi, done);
}

void rxen_net_poll_later(struct net_device *dev, unsigned int milliseconds)
{
	struct rxen_net_private *private = netdev_priv(dev);

	schedule_delayed_work(&private->poll_later, msecs_to_jiffies(milliseconds));
}

void rxen_net_start_queue(struct net_device *dev)
{
	netif_start_queue(dev);
}

void rxen_net_stop_queue(struct net_device *dev)
{
	netif_stop_queue(dev);
}

void rxen_net_wake_queue(struct net_device *dev)
{
	netif_wake_queue(dev);
}

/* True if the other end is to be told now: no more frames follow at once, or the queue's byte limit is reached. */
bool rxen_net_sent(struct net_device *dev, unsigned int bytes, bool more)
{
	return __netdev_sent_queue(dev, bytes, more);
}

void rxen_net_completed(struct net_device *dev, unsigned int packets, unsigned int bytes)
{
	netdev_completed_queue(dev, packets, bytes);
}

void rxen_net_reset_queue(struct net_device *dev)
{
	netdev_reset_queue(dev);
}

bool rxen_net_xmit_more(void)
{
	return netdev_xmit_more();
}

unsigned int rxen_net_length(const struct sk_buff *skb)
{
	return skb->len;
}

/*
 * Lists one contiguous part of a frame, page by page. Returns how many segments there are now, or -ENOSPC where they are
 * more than max.
 */
static int add_segments(struct rxen_net_segment *segments, int n, unsigned int max, struct page *page,
			unsigned int offset, unsigned int length)
{
	page += offset >> PAGE_SHIFT;
	offset &= ~PAGE_MASK;
	while (length) {
		unsigned int part = min_t(unsigned int, length, PAGE_SIZE - offset);

		if (n == max)
			return -ENOSPC;
		segments[n++] = (struct rxen_net_segment){ .page = page, .offset = offset, .length = part };
		page++;
		offset = 0;
		length -= part;
	}
	return n;
}

/* Lists a frame as parts of single pages. -ENOSPC where they are more than max, -EINVAL where there is none. */
int rxen_net_segments(struct sk_buff *skb, struct rxen_net_segment *segments, unsigned int max)
{
	const struct skb_shared_info *shared = skb_shinfo(skb);
	int n, i;

	if (skb_has_frag_list(skb) || !skb_frags_readable(skb))
		return -ENOSPC;
	n = add_segments(segments, 0, max, virt_to_page(skb->data), offset_in_page(skb->data), skb_headlen(skb));
	for (i = 0; n >= 0 && i < shared->nr_frags; i++) {
		const skb_frag_t *frag = &shared->frags[i];

		n = add_segments(segments, n, max, skb_frag_page(frag), skb_frag_off(frag), skb_frag_size(frag));
	}
	return n ?: -EINVAL;
}

struct sk_buff *rxen_net_hold(struct sk_buff *skb)
{
	return skb_get(skb);
}

/* Any context; the frame was lost. */
void rxen_net_free(struct sk_buff *skb)
{
	dev_kfree_skb_any(skb);
}

/* Any context; the frame was sent. */
void rxen_net_consume(struct sk_buff *skb)
{
	dev_consume_skb_any(skb);
}

int rxen_net_linearize(struct sk_buff *skb)
{
	return skb_linearize(skb);
}

struct sk_buff *rxen_net_copy(struct sk_buff *skb)
{
	return skb_copy(skb, GFP_ATOMIC | __GFP_NOWARN);
}

void rxen_net_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

u32 rxen_net_checksum(const struct sk_buff *skb)
{
	switch (skb->ip_summed) {
	case CHECKSUM_PARTIAL:
		return RXEN_NET_CHECKSUM_PARTIAL;
	case CHECKSUM_UNNECESSARY:
		return RXEN_NET_CHECKSUM_UNNECESSARY;
	default:
		return RXEN_NET_CHECKSUM_NONE;
	}
}

u32 rxen_net_gso(const struct sk_buff *skb, u16 *size)
{
	const struct skb_shared_info *shared = skb_shinfo(skb);

	*size = shared->gso_size;
	if (!skb_is_gso(skb))
		return RXEN_NET_GSO_NONE;
	if (shared->gso_type & SKB_GSO_TCPV4)
		return RXEN_NET_GSO_TCPV4;
	if (shared->gso_type & SKB_GSO_TCPV6)
		return RXEN_NET_GSO_TCPV6;
	return RXEN_NET_GSO_OTHER;
}

/* Zeroed: the whole page is lent to the other end, which must not see what was in it before. */
struct page *rxen_net_alloc_page(void)
{
	return alloc_page(GFP_ATOMIC | __GFP_NOWARN | __GFP_ZERO);
}

void rxen_net_put_page(struct page *page)
{
	put_page(page);
}

/* An empty buffer with room for a head. */
struct sk_buff *rxen_net_receive_start(struct net_device *dev)
{
	return netdev_alloc_skb_ip_align(dev, HEAD_BYTES);
}

/*
 * Adds a page to a frame, whose reference moves to the buffer. Where all places for pages are taken, the first page's
 * contents move to the head to make room.
 */
int rxen_net_receive_page(struct sk_buff *skb, struct page *page, unsigned int offset, unsigned int length)
{
	if (skb_shinfo(skb)->nr_frags == MAX_SKB_FRAGS) {
		unsigned int first = skb_frag_size(&skb_shinfo(skb)->frags[0]);

		if (!__pskb_pull_tail(skb, first))
			return -ENOMEM;
	}
	if (skb_shinfo(skb)->nr_frags >= MAX_SKB_FRAGS)
		return -EMSGSIZE;
	skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, page, offset, length, PAGE_SIZE);
	return 0;
}

/* Moves the headers of a whole frame to the head and tells the frame's protocol. */
int rxen_net_receive_head(struct sk_buff *skb, struct net_device *dev)
{
	unsigned int head = min_t(unsigned int, skb->len, HEAD_BYTES);

	if (skb->len < ETH_HLEN)
		return -EINVAL;
	if (skb_headlen(skb) < head && !__pskb_pull_tail(skb, head - skb_headlen(skb)))
		return -ENOMEM;
	skb->protocol = eth_type_trans(skb, dev);
	skb_reset_network_header(skb);
	return 0;
}

/* The size comes from the other end: the stack is told not to trust it. */
void rxen_net_set_gso(struct sk_buff *skb, u32 type, u16 size)
{
	struct skb_shared_info *shared = skb_shinfo(skb);

	shared->gso_size = size;
	shared->gso_type = (type == RXEN_NET_GSO_TCPV6 ? SKB_GSO_TCPV6 : SKB_GSO_TCPV4) | SKB_GSO_DODGY;
	shared->gso_segs = 0;
}

/* After rxen_net_receive_head. Fails where the headers do not allow what is claimed. */
int rxen_net_set_checksum(struct sk_buff *skb, u32 checksum, bool recalculate)
{
	switch (checksum) {
	case RXEN_NET_CHECKSUM_PARTIAL:
		skb->ip_summed = CHECKSUM_PARTIAL;
		return skb_checksum_setup(skb, recalculate);
	case RXEN_NET_CHECKSUM_UNNECESSARY:
		skb->ip_summed = CHECKSUM_UNNECESSARY;
		return 0;
	default:
		skb->ip_summed = CHECKSUM_NONE;
		return 0;
	}
}

void rxen_net_receive(struct net_device *dev, struct sk_buff *skb)
{
	struct rxen_net_private *private = netdev_priv(dev);

	napi_gro_receive(&private->napi, skb);
}
