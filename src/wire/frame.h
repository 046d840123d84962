/* Frames between members of a cluster.
 *
 *   offset  size  field (little-endian)
 *   0       8     XXH3-64 of bytes 8..40: no length is believed before
 *   8       4     "TLYP"
 *   12      1     version, 2 (1 had one checksum over head and body, here 0..32)
 *   13      1     type
 *   14      2     zero
 *   16      4     bytes of the body, <= LIMIT_FRAME
 *   20      4     covered, <= bytes of the body
 *   24      8     highest stamp the sender has seen, ms since 1970 (engine/stamp.h)
 *   32      8     XXH3-64 of the first `covered` bytes of the body
 *   40      n     body
 *
 * What is not covered proves itself: the payloads of log entries, by the chain
 * that the covered part carries. So an entry is hashed once, however many
 * members it is sent to.
 *
 * A connection begins with hellos, in both directions, until the one who dialed
 * knows that the other remembers its present life (raft/peer/link.h):
 *
 *   0       8     cluster id
 *   8       8     member id of the sender
 *   16      8     member id of the one it wants to talk to
 *   24      8     life of the sender: number of its start, from 1
 *   32      8       id, drawn at that start
 *   40      8     seen: a life of the one who dialed. Number of the start, 0 for none
 *   48      8       id
 *   56      1     kind of the connection: 1 raft, 2 requests, 3 bulk
 *   57      3     zero
 *   60      4     members: digest of the `member` lines that the sender's log begins with,
 *                 while it holds nothing else (nobody has led yet); then 0
 *
 * seen, from the one who was dialed: the life that it remembers of the other; from
 * the one who dialed: the life that it was told so, and that it did live. A hello
 * of 40 bytes is of an earlier format and refused (ERR_VERSION).
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "base/buf.h"
#include "base/err.h"

#define FRAME_HEAD 40

/* The type is the sender's and receiver's business; hello is everybody's. */
enum frame_type {
	FRAME_HELLO = 1,
	FRAME_PING = 2, /* empty: are you there */
	FRAME_PONG = 3, /* I am, and my wall clock says so many ms (8) */
	FRAME_APPEND = 16,
	FRAME_APPEND_RESULT = 17,
	FRAME_VOTE = 18,
	FRAME_VOTE_RESULT = 19,
	FRAME_TIMEOUT_NOW = 20,
	FRAME_PROBE = 21,
	FRAME_ECHO = 22,
	FRAME_REQUEST = 32,
	FRAME_REPLY = 33,
};

/* Writing: begin, append the covered part to out, end. uncovered: bytes of the
 * body that are sent behind it from elsewhere. A frame begins at the offset that
 * frame_begin returned; several may follow each other in one buffer. */
size_t frame_begin(struct buf *out, uint8_t type, uint64_t stamp_ms);
void frame_end(struct buf *out, size_t begin, size_t uncovered);

struct frame {
	uint8_t type;
	uint32_t covered;
	uint64_t stamp_ms;
	struct slice body;
};

/* Cuts a stream into frames. Bytes that make no frame stick: the stream is to be closed. */
struct frame_reader {
	struct buf partial; /* a frame that is not complete yet */
	size_t body_max;    /* a longer one is refused before it comes; the owner may lower it */
};
void frame_reader_init(struct frame_reader *reader);
void frame_reader_fini(struct frame_reader *reader);
/* Takes one frame off the front of *bytes (and of what earlier calls kept): 0
 * and the frame, whose body is valid until the next call; ERR_MORE when all of
 * *bytes was kept and more is needed; ERR_CORRUPT, ERR_VERSION or ERR_TOO_LARGE. */
int frame_reader_next(struct frame_reader *reader, struct slice *bytes, struct frame *frame);
/* After ERR_MORE: the type of the frame whose head was proven and whose body is on its way; 0: none. */
uint8_t frame_reader_coming(const struct frame_reader *reader);

enum frame_connection { FRAME_RAFT = 1, FRAME_REQUESTS = 2, FRAME_BULK = 3 };
/* One start of one member's directory (raft/peer/lives.h). */
struct life {
	uint64_t start, id; /* start 0: none */
};
static inline bool life_equal(struct life a, struct life b)
{
	return a.start == b.start && a.id == b.id;
}
struct hello {
	uint64_t cluster_id, from_id, to_id;
	struct life life, seen;
	uint8_t kind; /* enum frame_connection */
	uint32_t members;
};
void hello_encode(struct buf *out, const struct hello *hello, uint64_t stamp_ms);
/* From the body of a FRAME_HELLO: 0, ERR_INVALID or ERR_VERSION. */
int hello_decode(struct slice body, struct hello *hello);

#endif /* WIRE_FRAME_H */
