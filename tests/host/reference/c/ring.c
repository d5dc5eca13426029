// SPDX-License-Identifier: GPL-2.0
/* Both ends of a ring, moved by the kernel's own macros (include/xen/interface/io/ring.h). */
#include <stdlib.h>
#include <xen/interface/io/blkif.h>
#include <xen/interface/io/netif.h>

#define PAGE 4096

struct reference_ring {
	struct blkif_front_ring front;
	struct blkif_back_ring back;
};

unsigned int reference_ring_size_block(void)
{
	return __CONST_RING_SIZE(blkif, PAGE);
}

unsigned int reference_ring_size_transmit(void)
{
	return __CONST_RING_SIZE(xen_netif_tx, PAGE);
}

unsigned int reference_ring_size_receive(void)
{
	return __CONST_RING_SIZE(xen_netif_rx, PAGE);
}

/* A ring of one page all whose indices are at `at`; asks for events as a fresh ring does. */
struct reference_ring *reference_ring_new(unsigned int at)
{
	struct reference_ring *ring = calloc(1, sizeof(*ring));
	struct blkif_sring *shared = calloc(1, PAGE);

	if (!ring || !shared)
		abort();
	SHARED_RING_INIT(shared);
	shared->req_prod += at;
	shared->req_event += at;
	shared->rsp_prod += at;
	shared->rsp_event += at;
	FRONT_RING_ATTACH(&ring->front, shared, at, PAGE);
	BACK_RING_ATTACH(&ring->back, shared, at, PAGE);
	return ring;
}

void reference_ring_free(struct reference_ring *ring)
{
	free(ring->front.sring);
	free(ring);
}

/* The four shared indices: req_prod, req_event, rsp_prod, rsp_event. */
unsigned int *reference_ring_shared(struct reference_ring *ring)
{
	return &ring->front.sring->req_prod;
}

unsigned int reference_front_free(const struct reference_ring *ring)
{
	return RING_FREE_REQUESTS(&ring->front);
}

void reference_front_claim(struct reference_ring *ring)
{
	ring->front.req_prod_pvt++;
}

int reference_front_push(struct reference_ring *ring)
{
	int notify;

	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&ring->front, notify);
	return notify;
}

unsigned int reference_front_unconsumed(const struct reference_ring *ring)
{
	return XEN_RING_NR_UNCONSUMED_RESPONSES(&ring->front);
}

void reference_front_consume(struct reference_ring *ring)
{
	ring->front.rsp_cons++;
}

int reference_front_final_check(struct reference_ring *ring)
{
	int more;

	RING_FINAL_CHECK_FOR_RESPONSES(&ring->front, more);
	return more;
}

unsigned int reference_back_unconsumed(const struct reference_ring *ring)
{
	return XEN_RING_NR_UNCONSUMED_REQUESTS(&ring->back);
}

void reference_back_consume(struct reference_ring *ring)
{
	ring->back.req_cons++;
}

/* Requests that were taken and not answered. */
unsigned int reference_back_held(const struct reference_ring *ring)
{
	return ring->back.req_cons - ring->back.rsp_prod_pvt;
}

int reference_back_respond(struct reference_ring *ring, unsigned int count)
{
	int notify;

	ring->back.rsp_prod_pvt += count;
	RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&ring->back, notify);
	return notify;
}

int reference_back_final_check(struct reference_ring *ring)
{
	int more;

	RING_FINAL_CHECK_FOR_REQUESTS(&ring->back, more);
	return more;
}
