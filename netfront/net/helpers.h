/* SPDX-License-Identifier: GPL-2.0 */
/* C macros and inline functions of the network stack that the network frontend calls from Rust. */
#ifndef RXEN_NET_HELPERS_H
#define RXEN_NET_HELPERS_H

#include <linux/types.h>

struct device;
struct ethtool_ops;
struct napi_struct;
struct net_device;
struct net_device_ops;
struct page;
struct sk_buff;

/* A part of a frame that lies in one page. */
struct rxen_net_segment {
	struct page *page;
	u32 offset;
	u32 length;
};

/* How much of a frame's checksums is known to be right. */
enum rxen_net_checksum {
	RXEN_NET_CHECKSUM_NONE,
	RXEN_NET_CHECKSUM_UNNECESSARY,
	RXEN_NET_CHECKSUM_PARTIAL,
};

/* Which protocol a large frame is to be cut up for. */
enum rxen_net_gso {
	RXEN_NET_GSO_NONE,
	RXEN_NET_GSO_TCPV4,
	RXEN_NET_GSO_TCPV6,
	RXEN_NET_GSO_OTHER,
};

struct net_device *rxen_net_alloc(struct device *parent, void *data,
				  int (*poll)(struct napi_struct *napi, int budget));
void *rxen_net_data(const struct net_device *dev);
struct net_device *rxen_net_of_napi(const struct napi_struct *napi);
void rxen_net_set_ops(struct net_device *dev, const struct net_device_ops *ops,
		      const struct ethtool_ops *ethtool_ops);
void rxen_net_set_first_mtu(struct net_device *dev, unsigned int mtu, unsigned int max_mtu);
const char *rxen_net_name(const struct net_device *dev);
bool rxen_net_is_running(const struct net_device *dev);
void rxen_net_set_features(struct net_device *dev);
void rxen_net_set_address(struct net_device *dev, const u8 *address);
void rxen_net_set_carrier(struct net_device *dev, bool on);
void rxen_net_update_features(struct net_device *dev, unsigned int max_mtu);

void rxen_net_napi_enable(struct net_device *dev);
void rxen_net_napi_disable(struct net_device *dev);
void rxen_net_announce(struct net_device *dev);
void rxen_net_announce_cancel(struct net_device *dev);
void rxen_net_napi_schedule(struct net_device *dev);
void rxen_net_napi_start(struct net_device *dev);
bool rxen_net_napi_complete(struct net_device *dev, int done);
void rxen_net_poll_later(struct net_device *dev, unsigned int milliseconds);

void rxen_net_start_queue(struct net_device *dev);
void rxen_net_stop_queue(struct net_device *dev);
void rxen_net_wake_queue(struct net_device *dev);
bool rxen_net_sent(struct net_device *dev, unsigned int bytes, bool more);
void rxen_net_completed(struct net_device *dev, unsigned int packets, unsigned int bytes);
void rxen_net_reset_queue(struct net_device *dev);
bool rxen_net_xmit_more(void);

unsigned int rxen_net_length(const struct sk_buff *skb);
int rxen_net_segments(struct sk_buff *skb, struct rxen_net_segment *segments, unsigned int max);
struct sk_buff *rxen_net_hold(struct sk_buff *skb);
void rxen_net_free(struct sk_buff *skb);
void rxen_net_consume(struct sk_buff *skb);
int rxen_net_linearize(struct sk_buff *skb);
struct sk_buff *rxen_net_copy(struct sk_buff *skb);
void rxen_net_timestamp(struct sk_buff *skb);
u32 rxen_net_checksum(const struct sk_buff *skb);
u32 rxen_net_gso(const struct sk_buff *skb, u16 *size);

struct page *rxen_net_alloc_page(void);
void rxen_net_put_page(struct page *page);
struct sk_buff *rxen_net_receive_start(struct net_device *dev);
int rxen_net_receive_page(struct sk_buff *skb, struct page *page, unsigned int offset, unsigned int length);
int rxen_net_receive_head(struct sk_buff *skb, struct net_device *dev);
void rxen_net_set_gso(struct sk_buff *skb, u32 type, u16 size);
int rxen_net_set_checksum(struct sk_buff *skb, u32 checksum, bool recalculate);
void rxen_net_receive(struct net_device *dev, struct sk_buff *skb);

#endif
