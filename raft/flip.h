/* One bit that flipped at rest, in bytes that prove themselves when it is turned back. A torn write leaves sectors of
 * something else, and never bytes of which one bit is wrong. */
#ifndef RAFT_FLIP_H
#define RAFT_FLIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flip {
	size_t offset;
	uint8_t bit; /* its mask */
};

/* Turns each bit of [from, to) in turn until whole(owner) holds, at the cost of one whole() a bit: then it stays
 * turned, and *flip tells which. False: all are as they were. */
static inline bool flip_mend(uint8_t *bytes, size_t from, size_t to, bool (*whole)(void *owner), void *owner,
			     struct flip *flip)
{
	for (size_t i = from; i < to; i++) {
		for (unsigned bit = 1; bit <= 0x80; bit <<= 1) {
			bytes[i] ^= (uint8_t)bit;
			if (whole(owner)) {
				*flip = (struct flip){i, (uint8_t)bit};
				return true;
			}
			bytes[i] ^= (uint8_t)bit;
		}
	}
	return false;
}

#endif /* RAFT_FLIP_H */
