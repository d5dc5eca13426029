// SPDX-License-Identifier: GPL-2.0
/* C macros and inline functions of the block layer that the block frontend calls from Rust. */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/jiffies.h>
#include <linux/module.h>

#include "../../xenbus/helpers.h"
#include "helpers.h"

/* In C because the owner must be this very module: an open disk keeps it from being unloaded. */
const struct block_device_operations rxen_mq_disk_operations = {
	.owner = THIS_MODULE,
};

/*
 * Lists a request's payload, from its start, as parts of single pages; at most max of them. Neighbours in one page are
 * merged, as the block layer does when it counts against max_segments.
 */
int rxen_mq_segments(struct request *rq, struct rxen_mq_segment *segments, unsigned int max)
{
	struct req_iterator iter;
	struct bio_vec bv;
	unsigned int n = 0;

	rq_for_each_segment(bv, rq, iter) {
		struct page *page = bv.bv_page + (bv.bv_offset >> PAGE_SHIFT);
		unsigned int offset = bv.bv_offset & ~PAGE_MASK;
		struct rxen_mq_segment *last = n ? &segments[n - 1] : NULL;

		if (last && last->page == page && last->offset + last->length == offset) {
			last->length += bv.bv_len;
			continue;
		}
		if (n == max)
			break;
		segments[n++] = (struct rxen_mq_segment){
			.page = page,
			.offset = offset,
			.length = bv.bv_len,
			.is_slab = !rxen_page_has_references(page),
		};
	}
	return n;
}

/* Pages of the slab allocators and of alloc_page() are always mapped on x86-64. */
void rxen_mq_copy(struct page *to, struct page *from, u32 offset, u32 length)
{
	memcpy(page_address(to) + offset, page_address(from) + offset, length);
}

unsigned int rxen_mq_bytes(struct request *rq)
{
	return blk_rq_bytes(rq);
}

u64 rxen_mq_sector(struct request *rq)
{
	return blk_rq_pos(rq);
}

unsigned int rxen_mq_op(struct request *rq)
{
	return req_op(rq);
}

bool rxen_mq_is_fua(struct request *rq)
{
	return rq->cmd_flags & REQ_FUA;
}

u32 rxen_mq_tag(struct request *rq)
{
	return rq->tag;
}

unsigned int rxen_mq_timeout_seconds(struct request *rq)
{
	return rq->timeout / HZ;
}

void *rxen_mq_queue_data(struct request_queue *queue)
{
	return queue->queuedata;
}

struct gendisk *rxen_mq_alloc_disk(struct blk_mq_tag_set *set, struct queue_limits *limits, void *queue_data)
{
	return blk_mq_alloc_disk(set, limits, queue_data);
}

struct queue_limits rxen_mq_limits_start_update(struct request_queue *queue)
{
	return queue_limits_start_update(queue);
}

void rxen_mq_limits_set_cache(struct queue_limits *limits, bool flush, bool fua)
{
	limits->features &= ~(BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA);
	if (flush)
		limits->features |= BLK_FEAT_WRITE_CACHE;
	if (flush && fua)
		limits->features |= BLK_FEAT_FUA;
}

void rxen_mq_disable_discard(struct request_queue *queue)
{
	blk_queue_disable_discard(queue);
}

void rxen_mq_disable_secure_erase(struct request_queue *queue)
{
	blk_queue_disable_secure_erase(queue);
}
