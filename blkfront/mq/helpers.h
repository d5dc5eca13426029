/* SPDX-License-Identifier: GPL-2.0 */
/* C macros and inline functions of the block layer that the block frontend calls from Rust. */
#ifndef RXEN_MQ_HELPERS_H
#define RXEN_MQ_HELPERS_H

#include <linux/types.h>

struct block_device_operations;
struct gendisk;
struct blk_mq_tag_set;
struct page;
struct queue_limits;
struct request;
struct request_queue;

/* A part of a request's payload that lies in one page. */
struct rxen_mq_segment {
	struct page *page;
	u32 offset;
	u32 length;
	/* In memory of the slab allocators, whose pages cannot be lent. */
	bool is_slab;
};

extern const struct block_device_operations rxen_mq_disk_operations;

int rxen_mq_segments(struct request *rq, struct rxen_mq_segment *segments, unsigned int max);
void rxen_mq_copy(struct page *to, struct page *from, u32 offset, u32 length);
unsigned int rxen_mq_bytes(struct request *rq);
u64 rxen_mq_sector(struct request *rq);
unsigned int rxen_mq_op(struct request *rq);
bool rxen_mq_is_fua(struct request *rq);
u32 rxen_mq_tag(struct request *rq);
unsigned int rxen_mq_timeout_seconds(struct request *rq);
void *rxen_mq_queue_data(struct request_queue *queue);
struct gendisk *rxen_mq_alloc_disk(struct blk_mq_tag_set *set, struct queue_limits *limits, void *queue_data);
struct queue_limits rxen_mq_limits_start_update(struct request_queue *queue);
void rxen_mq_limits_set_cache(struct queue_limits *limits, bool flush, bool fua);
void rxen_mq_disable_discard(struct request_queue *queue);
void rxen_mq_disable_secure_erase(struct request_queue *queue);

#endif
