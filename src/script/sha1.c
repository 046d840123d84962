#include "script/sha1.h"

#define BLOCK 64

static uint32_t rotate(uint32_t v, unsigned by)
{
	return v << by | v >> (32 - by);
}

static void add_block(uint32_t state[5], const uint8_t *block)
{
	uint32_t w[80];
	for (unsigned t = 0; t < 16; t++) {
		w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
		       (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
	}
	for (unsigned t = 16; t < 80; t++) {
		w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
	}
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
	for (unsigned t = 0; t < 80; t++) {
		uint32_t f, k;
		if (t < 20) {
			f = (b & c) | (~b & d);
			k = 0x5a827999;
		} else if (t < 40) {
			f = b ^ c ^ d;
			k = 0x6ed9eba1;
		} else if (t < 60) {
			f = (b & c) | (b & d) | (c & d);
			k = 0x8f1bbcdc;
		} else {
			f = b ^ c ^ d;
			k = 0xca62c1d6;
		}
		uint32_t next = rotate(a, 5) + f + e + k + w[t];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
}

void sha1_hex(struct slice bytes, char out[SHA1_HEX + 1])
{
	uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	size_t whole = bytes.len / BLOCK * BLOCK, rest = bytes.len - whole;
	for (size_t at = 0; at < whole; at += BLOCK) {
		add_block(state, bytes.data + at);
	}
	uint8_t tail[2 * BLOCK] = {0};
	if (rest > 0) {
		memcpy(tail, bytes.data + whole, rest);
	}
	tail[rest] = 0x80;
	size_t tail_len = rest + 9 <= BLOCK ? BLOCK : 2 * BLOCK;
	uint64_t bits = (uint64_t)bytes.len * 8;
	for (unsigned i = 0; i < 8; i++) {
		tail[tail_len - 1 - i] = (uint8_t)(bits >> (8 * i));
	}
	for (size_t at = 0; at < tail_len; at += BLOCK) {
		add_block(state, tail + at);
	}
	for (unsigned i = 0; i < SHA1_HEX; i++) {
		out[i] = "0123456789abcdef"[state[i / 8] >> (28 - i % 8 * 4) & 15];
	}
	out[SHA1_HEX] = '\0';
}
