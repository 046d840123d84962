#include "base/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"

uint64_t checksum64(struct slice bytes)
{
	return XXH3_64bits(bytes.data, bytes.len);
}

uint64_t checksum64_at(struct slice bytes, uint64_t position)
{
	return XXH3_64bits_withSeed(bytes.data, bytes.len, position);
}

struct chain checksum128(struct slice bytes)
{
	XXH128_hash_t hash = XXH3_128bits(bytes.data, bytes.len);
	return (struct chain){hash.low64, hash.high64};
}

struct chain chain_next(struct chain prev, uint64_t index, uint64_t term, uint8_t type, struct slice payload)
{
	uint8_t head[33];
	bytes_put_u64(head, prev.low);
	bytes_put_u64(head + 8, prev.high);
	bytes_put_u64(head + 16, index);
	bytes_put_u64(head + 24, term);
	head[32] = type;
	XXH3_state_t state;
	XXH3_128bits_reset(&state);
	XXH3_128bits_update(&state, head, sizeof(head));
	XXH3_128bits_update(&state, payload.data, payload.len);
	XXH128_hash_t hash = XXH3_128bits_digest(&state);
	return (struct chain){hash.low64, hash.high64};
}
