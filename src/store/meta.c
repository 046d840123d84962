#include "store/meta.h"

#include "store/keys.h"

#define META_VERSION 1
#define META_HEAD 72
#define META_TAIL 8

struct slice meta_key(void)
{
	static const uint8_t key[] = {TABLE_META};
	return slice_of(key, sizeof(key));
}

void meta_encode(const struct store_meta *meta, struct buf *out)
{
	buf_append_u64(out, META_VERSION); /* the seven zeroes too */
	buf_append_u64(out, meta->index);
	buf_append_u64(out, meta->term);
	buf_append_u64(out, meta->chain.low);
	buf_append_u64(out, meta->chain.high);
	buf_append_u64(out, meta->stamp_ms);
	buf_append_u64(out, meta->cluster_id);
	buf_append_u64(out, meta->node_id);
	buf_append_u64(out, meta->configuration_index);
	buf_append_slice(out, meta->configuration);
	buf_append_u64(out, checksum64(buf_slice(out)));
}

int meta_decode(struct slice record, struct store_meta *meta)
{
	if (record.len < META_HEAD + META_TAIL) {
		return ERR_CORRUPT;
	}
	struct slice head = slice_of(record.data, record.len - META_TAIL);
	struct slice tail = slice_skip(record, head.len);
	struct store_meta read;
	uint64_t version, sum;
	if (!slice_take_u64(&tail, &sum) || sum != checksum64(head)) {
		return ERR_CORRUPT;
	}
	bool whole = slice_take_u64(&head, &version) && slice_take_u64(&head, &read.index) &&
		     slice_take_u64(&head, &read.term) && slice_take_u64(&head, &read.chain.low) &&
		     slice_take_u64(&head, &read.chain.high) && slice_take_u64(&head, &read.stamp_ms) &&
		     slice_take_u64(&head, &read.cluster_id) && slice_take_u64(&head, &read.node_id) &&
		     slice_take_u64(&head, &read.configuration_index);
	if (!whole) {
		return ERR_CORRUPT;
	}
	if (version != META_VERSION) {
		return ERR_VERSION;
	}
	read.configuration = head;
	*meta = read;
	return 0;
}
