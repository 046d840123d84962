/* Cells and rows as bytes. A row's key columns are in its key (wire/tuple); the others
 * stand in its value by position, in declared order, without names:
 *
 *   count   1   cells that follow; later columns of the table are absent
 *   cell…       00 nothing · 01 false · 02 true
 *               10+n  n bytes of the number, little-endian, shortest: n = 0…8
 *               20+n  a negative number: n bytes of its complement
 *               40+n  n bytes of text, n = 0…63
 *               03    varint length, text
 *
 * The bytes tell kinds by themselves, so columns can be added behind the last,
 * become optional or wider without touching old rows. */
#ifndef SCRIPT_ROW_H
#define SCRIPT_ROW_H

#include "base/err.h"
#include "base/slice.h"

enum cell_kind {
	CELL_NOTHING,
	CELL_BOOL,
	CELL_INT,
	CELL_TEXT,
	CELL_NESTED /* a list or record, still a Lua value: never stored */
};
struct cell {
	enum cell_kind kind;
	uint32_t len; /* TEXT */
	union {
		int64_t integer; /* INT, BOOL */
		const uint8_t *bytes;
	};
};

static inline struct cell cell_int(int64_t value)
{
	return (struct cell){.kind = CELL_INT, .integer = value};
}
static inline struct cell cell_text(struct slice text)
{
	return (struct cell){.kind = CELL_TEXT, .len = (uint32_t)text.len, .bytes = text.data};
}
static inline struct slice cell_slice(const struct cell *cell)
{
	return slice_of(cell->bytes, cell->len);
}
bool cell_equal(const struct cell *a, const struct cell *b);

/* Bytes a cell takes at most. */
static inline size_t cell_bytes_max(const struct cell *cell)
{
	return 9 + (cell->kind == CELL_TEXT ? cell->len : 0);
}
/* Writes at out, returns the place behind. A text cell then points into what was written. A number may
 * scribble over the 9 bytes that were counted for it. */
uint8_t *cell_write(uint8_t *out, struct cell *cell);
/* Takes a cell from the front; text is borrowed. ERR_CORRUPT when the bytes are none. */
int cell_read_slow(struct slice *bytes, struct cell *cell);

/* The common cells, small numbers and short texts, without a call. */
static inline int cell_read(struct slice *bytes, struct cell *cell)
{
	if (bytes->len > 0 && bytes->data[0] == 0x10) {
		*cell = cell_int(0);
		*bytes = slice_skip(*bytes, 1);
		return 0;
	}
	if (bytes->len > 1 && bytes->data[0] == 0x11) {
		*cell = cell_int(bytes->data[1]);
		*bytes = slice_skip(*bytes, 2);
		return 0;
	}
	if (bytes->len >= 9 && bytes->data[0] >= 0x10 && bytes->data[0] < 0x18) {
		unsigned n = bytes->data[0] - 0x10u;
		uint64_t bits;
		memcpy(&bits, bytes->data + 1, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		bits = __builtin_bswap64(bits);
#endif
		*cell = cell_int((int64_t)(bits & ~(UINT64_MAX << (8 * n))));
		*bytes = slice_skip(*bytes, 1 + n);
		return 0;
	}
	if (bytes->len > 0 && bytes->data[0] >= 0x40 && bytes->data[0] < 0x80 &&
	    bytes->len > (size_t)(bytes->data[0] - 0x40)) {
		size_t len = bytes->data[0] - 0x40u;
		*cell = cell_text(slice_of(bytes->data + 1, len));
		*bytes = slice_skip(*bytes, 1 + len);
		return 0;
	}
	return cell_read_slow(bytes, cell);
}

#endif /* SCRIPT_ROW_H */
