/* Integers at a place in memory, aligned or not: for heads of fixed layout,
 * where a field is written to its offset. Little-endian, but for those that
 * end in _big: in keys, whose bytes are compared. Buffers that grow and slices
 * that are eaten from the front have base/buf.h. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdint.h>

static inline void bytes_put_u16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)v;
	at[1] = (uint8_t)(v >> 8);
}

static inline void bytes_put_u32(uint8_t *at, uint32_t v)
{
	bytes_put_u16(at, (uint16_t)v);
	bytes_put_u16(at + 2, (uint16_t)(v >> 16));
}

static inline void bytes_put_u64(uint8_t *at, uint64_t v)
{
	bytes_put_u32(at, (uint32_t)v);
	bytes_put_u32(at + 4, (uint32_t)(v >> 32));
}

static inline uint16_t bytes_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t bytes_u32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t bytes_u64(const uint8_t *at)
{
	return (uint64_t)bytes_u32(at) | (uint64_t)bytes_u32(at + 4) << 32;
}

static inline void bytes_put_u32_big(uint8_t *at, uint32_t v)
{
	bytes_put_u32(at, __builtin_bswap32(v));
}

static inline void bytes_put_u64_big(uint8_t *at, uint64_t v)
{
	bytes_put_u64(at, __builtin_bswap64(v));
}

static inline uint32_t bytes_u32_big(const uint8_t *at)
{
	return __builtin_bswap32(bytes_u32(at));
}

static inline uint64_t bytes_u64_big(const uint8_t *at)
{
	return __builtin_bswap64(bytes_u64(at));
}

#endif /* BASE_BYTES_H */
