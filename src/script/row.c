#include "script/row.h"

#define TAG_NOTHING 0x00
#define TAG_FALSE 0x01
#define TAG_TRUE 0x02
#define TAG_LONG_TEXT 0x03
#define TAG_INT 0x10
#define TAG_NEGATIVE 0x20
#define TAG_TEXT 0x40

bool cell_equal(const struct cell *a, const struct cell *b)
{
	if (a->kind != b->kind) {
		return false;
	}
	if (a->kind == CELL_TEXT) {
		return slice_equal(cell_slice(a), cell_slice(b));
	}
	return a->kind == CELL_NOTHING || a->integer == b->integer;
}

static uint8_t *write_int(uint8_t *out, int64_t value)
{
	uint64_t bits = value < 0 ? ~(uint64_t)value : (uint64_t)value;
	unsigned n = bits == 0 ? 0 : (unsigned)(71 - __builtin_clzll(bits)) / 8;
	*out++ = (uint8_t)((value < 0 ? TAG_NEGATIVE : TAG_INT) + n);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	bits = __builtin_bswap64(bits);
#endif
	memcpy(out, &bits, 8);
	return out + n;
}

static uint8_t *write_text(uint8_t *out, struct cell *cell)
{
	if (cell->len < 64) {
		*out++ = (uint8_t)(TAG_TEXT + cell->len);
	} else {
		uint32_t rest = cell->len;
		*out++ = TAG_LONG_TEXT;
		for (; rest >= 0x80; rest >>= 7) {
			*out++ = (uint8_t)(rest | 0x80);
		}
		*out++ = (uint8_t)rest;
	}
	if (cell->len > 0) {
		memcpy(out, cell->bytes, cell->len);
	}
	cell->bytes = out;
	return out + cell->len;
}

uint8_t *cell_write(uint8_t *out, struct cell *cell)
{
	switch (cell->kind) {
	case CELL_INT:
		return write_int(out, cell->integer);
	case CELL_TEXT:
		return write_text(out, cell);
	case CELL_BOOL:
		*out = cell->integer != 0 ? TAG_TRUE : TAG_FALSE;
		return out + 1;
	default:
		*out = TAG_NOTHING;
		return out + 1;
	}
}

static int read_number(struct slice *bytes, struct cell *cell, unsigned n, bool negative)
{
	if (n > 8 || bytes->len < n) {
		return ERR_CORRUPT;
	}
	uint64_t bits = 0;
	for (unsigned i = 0; i < n; i++) {
		bits |= (uint64_t)bytes->data[i] << (8 * i);
	}
	*bytes = slice_skip(*bytes, n);
	*cell = cell_int((int64_t)(negative ? ~bits : bits));
	return 0;
}

static int read_text(struct slice *bytes, struct cell *cell, size_t len)
{
	if (bytes->len < len) {
		return ERR_CORRUPT;
	}
	*cell = cell_text(slice_of(bytes->data, len));
	*bytes = slice_skip(*bytes, len);
	return 0;
}

static int read_long_text(struct slice *bytes, struct cell *cell)
{
	uint64_t len = 0;
	for (unsigned shift = 0; shift < 35 && bytes->len > 0; shift += 7) {
		uint8_t byte = bytes->data[0];
		*bytes = slice_skip(*bytes, 1);
		len |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			return len > UINT32_MAX ? ERR_CORRUPT : read_text(bytes, cell, (size_t)len);
		}
	}
	return ERR_CORRUPT;
}

int cell_read_slow(struct slice *bytes, struct cell *cell)
{
	if (bytes->len == 0) {
		return ERR_CORRUPT;
	}
	uint8_t tag = bytes->data[0];
	*bytes = slice_skip(*bytes, 1);
	if (tag >= TAG_TEXT) {
		return tag >= TAG_TEXT + 64 ? ERR_CORRUPT : read_text(bytes, cell, tag - TAG_TEXT);
	}
	if (tag >= TAG_INT) {
		bool negative = tag >= TAG_NEGATIVE;
		return read_number(bytes, cell, (unsigned)(negative ? tag - TAG_NEGATIVE : tag - TAG_INT),
				   negative);
	}
	switch (tag) {
	case TAG_NOTHING:
		*cell = (struct cell){.kind = CELL_NOTHING};
		return 0;
	case TAG_FALSE:
	case TAG_TRUE:
		*cell = (struct cell){.kind = CELL_BOOL, .integer = tag == TAG_TRUE};
		return 0;
	case TAG_LONG_TEXT:
		return read_long_text(bytes, cell);
	default:
		return ERR_CORRUPT;
	}
}
