/* The payload of a log entry, and the shared buffer that carries it.
 *
 *   offset  size  field
 *   0       1     version, 1
 *   1       1     kind: 1 batch, 2 open
 *   2       2     zero
 *   4       4     count of puts and deletes in the WriteBatch
 *   8       8     stamp, ms since 1970 (engine/stamp.h)
 *   16      n     a RocksDB WriteBatch: sequence(8) = 0, count(4), then records
 *                 0x01 klen key vlen value (put) | 0x00 klen key (delete), lengths varint32
 *
 * entry_check refuses every payload that is not exactly this, before RocksDB
 * sees it: RocksDB applies a damaged batch in part. */
#ifndef WIRE_ENTRY_H
#define WIRE_ENTRY_H

#include "base/buf.h"
#include "base/checksum.h"
#include "base/err.h"

/* Types of log records: libraft's own three, as its enum numbers them. */
enum entry_type { ENTRY_COMMAND = 1, ENTRY_BARRIER = 2, ENTRY_CHANGE = 3 };
enum entry_kind { ENTRY_BATCH = 1, ENTRY_OPEN = 2 };
#define ENTRY_HEAD 16

/* One log entry, shared by log writer, messages and apply; immutable once
 * submitted. Counted with atomics: lanes hold references too. */
struct entry {
	uint32_t refs; /* atomic */
	uint32_t len;  /* bytes of payload */
	uint64_t index, term;
	struct chain chain; /* chain(index) */
	uint8_t type;       /* enum entry_type */
	uint8_t payload[];
};
struct entry *entry_new(uint8_t type, struct slice payload); /* copies; refs 1 */
struct entry *entry_ref(struct entry *e);
void entry_unref(struct entry *e); /* NULL ok */
static inline struct slice entry_payload(const struct entry *e) { return slice_of(e->payload, e->len); }

/* Builds a payload. Keys ascend (asserted): batches are written in key order. */
void entry_begin(struct buf *out, uint8_t kind, uint64_t stamp_ms);
void entry_put(struct buf *out, struct slice key, struct slice value);
void entry_delete(struct buf *out, struct slice key);
/* Fills in the counts. False when out ran over its maximum. */
bool entry_end(struct buf *out);

struct entry_view {
	uint8_t kind;
	uint32_t count;
	uint64_t stamp_ms;
	struct slice batch; /* the WriteBatch bytes */
};
/* ERR_CORRUPT, ERR_VERSION or 0. Checks head, each record, exact count and length, key and value bounds. */
int entry_check(struct slice payload, struct entry_view *view);
/* Walks a checked batch: start with *at = 0. deleted: value is SLICE_NONE. False at the end. */
bool entry_next(const struct entry_view *view, size_t *at, struct slice *key, struct slice *value, bool *deleted);

#endif /* WIRE_ENTRY_H */
