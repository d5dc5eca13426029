// SPDX-License-Identifier: GPL-2.0
/* Block requests and responses through the kernel's structures (include/xen/interface/io/blkif.h). */
#include <xen/interface/io/blkif.h>

unsigned int reference_block_request_size(void)
{
	return sizeof(struct blkif_request);
}

unsigned int reference_block_response_size(void)
{
	return sizeof(struct blkif_response);
}

unsigned int reference_block_segment_size(void)
{
	return sizeof(struct blkif_request_segment);
}

void reference_block_segment(void *to, uint32_t gref, uint8_t first, uint8_t last)
{
	struct blkif_request_segment segment;

	memset(&segment, 0, sizeof(segment));
	segment.gref = gref;
	segment.first_sect = first;
	segment.last_sect = last;
	memcpy(to, &segment, sizeof(segment));
}

/* `segments` are `count` structures as the function above writes them. */
void reference_block_direct(void *to, uint8_t operation, uint16_t handle, uint64_t id, uint64_t sector,
			    const void *segments, unsigned int count)
{
	struct blkif_request request;

	memset(&request, 0, sizeof(request));
	request.operation = operation;
	request.u.rw.nr_segments = count;
	request.u.rw.handle = handle;
	request.u.rw.id = id;
	request.u.rw.sector_number = sector;
	memcpy(request.u.rw.seg, segments, count * sizeof(struct blkif_request_segment));
	memcpy(to, &request, sizeof(request));
}

void reference_block_indirect(void *to, uint8_t operation, uint16_t handle, uint64_t id, uint64_t sector,
			      uint16_t segments, uint32_t gref)
{
	struct blkif_request request;

	memset(&request, 0, sizeof(request));
	request.operation = BLKIF_OP_INDIRECT;
	request.u.indirect.indirect_op = operation;
	request.u.indirect.nr_segments = segments;
	request.u.indirect.id = id;
	request.u.indirect.sector_number = sector;
	request.u.indirect.handle = handle;
	request.u.indirect.indirect_grefs[0] = gref;
	memcpy(to, &request, sizeof(request));
}

void reference_block_discard(void *to, uint64_t id, uint64_t sector, uint64_t sectors, int secure)
{
	struct blkif_request request;

	memset(&request, 0, sizeof(request));
	request.operation = BLKIF_OP_DISCARD;
	request.u.discard.flag = secure ? BLKIF_DISCARD_SECURE : 0;
	request.u.discard.id = id;
	request.u.discard.sector_number = sector;
	request.u.discard.nr_sectors = sectors;
	memcpy(to, &request, sizeof(request));
}

/* Leaves the padding as it is in `to`. */
void reference_block_response(void *to, uint64_t id, uint8_t operation, int16_t status)
{
	struct blkif_response *response = to;

	response->id = id;
	response->operation = operation;
	response->status = status;
}

/* BLKIF_OP_* in the order of their names in the driver. */
void reference_block_operations(uint8_t to[6])
{
	to[0] = BLKIF_OP_READ;
	to[1] = BLKIF_OP_WRITE;
	to[2] = BLKIF_OP_WRITE_BARRIER;
	to[3] = BLKIF_OP_FLUSH_DISKCACHE;
	to[4] = BLKIF_OP_DISCARD;
	to[5] = BLKIF_OP_INDIRECT;
}

/* BLKIF_RSP_OKAY, BLKIF_RSP_EOPNOTSUPP, BLKIF_RSP_ERROR. */
void reference_block_statuses(int16_t to[3])
{
	to[0] = BLKIF_RSP_OKAY;
	to[1] = BLKIF_RSP_EOPNOTSUPP;
	to[2] = BLKIF_RSP_ERROR;
}

unsigned int reference_block_direct_segments(void)
{
	return BLKIF_MAX_SEGMENTS_PER_REQUEST;
}

/* VDISK_CDROM, VDISK_REMOVABLE, VDISK_READONLY. */
void reference_block_info_flags(uint32_t to[3])
{
	to[0] = VDISK_CDROM;
	to[1] = VDISK_REMOVABLE;
	to[2] = VDISK_READONLY;
}
