/* One connection to another member: greeting, frames in, frames out.
 *
 *            dialed                                accepted
 *   WAITING --timer--> CONNECTING
 *      ^                   | opened: our hello       (stream)
 *      |                   v                            |
 *      |               GREETING  <----------------------+   waits for the peer's hello
 *      |                 | ^ | the one who was dialed remembers the dialer's present life
 *      |   hello again <-+ | |
 *      |                   | v
 *      |                 READY      frames
 *      |                   | closed by either, silence, bad bytes
 *      +---- back-off -----+--> accepted: gone
 *
 * Greeting. The dialer D says which life it has, A that was dialed which one it
 * remembers of D:
 *
 *      D                                                A remembers
 *      hello life=7            ---------------------->  5 (or another 7: D's memory may be gone)
 *                              <----------------------  hello seen=5
 *   did I live 5?
 *   never: D has lost its memory, and ends
 *   yes: hello life=7 seen=5   ---------------------->  writes 7, synced
 *   READY                      <----------------------  hello seen=7, READY
 *
 * A that remembers nothing of D, or 7 already, answers the first hello with seen=7.
 * Who concludes what: only D judges D, by all the lives it had, so an old hello that
 * a network delivers again proves nothing against anybody; A never forgets a life
 * for one that has not proved to have lived it, nor for an earlier one. What D says
 * goes out on what D dialed (transport.h), so nothing that D says is counted by A
 * before A remembers D durably and D was told so.
 *
 * Signs of life. A ping stands behind all that its connection carries, and so does a pong. So whoever was
 * dialed sends a pong unasked when LINK_LEAST more bytes came, four times a second at most, and as many of an
 * answer are a sign for whoever dialed: what is longer than LINK_SILENCE_MS on its way arrives. A connection
 * that carries less than that is given up. No frame's length is believed before its head was proven
 * (wire/frame.h), or a damaged one would swallow all that follows.
 *
 * Frames are put together in a batch and leave with one write when the owner
 * flushes; payloads of entries go by reference. A link never blocks and never
 * queues without bound: link_unsent tells, the owner drops. */
#ifndef RAFT_PEER_LINK_H
#define RAFT_PEER_LINK_H

#include "base/limits.h"
#include "env/env.h"
#include "wire/entry.h"
#include "wire/frame.h"

#define LINK_CONNECT_MS 1000  /* then the attempt is given up */
#define LINK_GREETING_MS 5000 /* a peer that says nothing is closed */
#define LINK_SILENCE_MS 1000  /* a dialed link that is asked for a sign of life for so long is closed and dialed again */
#define LINK_LEAST KIB(16)    /* so many bytes are one: what is long must come at so much a second */
#define LINK_PING_MS 250      /* how often a dialed link asks for one */
#define LINK_BACKOFF_FIRST_MS 10
#define LINK_BACKOFF_MAX_MS 250

enum link_state { LINK_WAITING, LINK_CONNECTING, LINK_GREETING, LINK_READY, LINK_CLOSING, LINK_CLOSED };

/* What the owner makes of a hello. */
enum link_verdict {
	LINK_REFUSED, /* closed */
	LINK_ASKS,    /* a hello goes back, with hello.seen as the owner has set it; another is awaited */
	LINK_WAITS,   /* accepted links: link_welcome comes, once the owner remembers the peer's life */
	LINK_WELCOME, /* ready */
};

struct link;
/* What a link tells its owner. All from env's callbacks. */
struct link_events {
	/* A hello of the peer; peer_id and peer_life are set. */
	enum link_verdict (*greeted)(struct link *link, const struct hello *hello);
	void (*ready)(struct link *link);
	void (*frame)(struct link *link, const struct frame *frame);
	/* Accepted links: LINK_LEAST more bytes came, and a frame of that type is not whole yet. */
	void (*coming)(struct link *link, uint8_t type);
	/* It ended (was_ready or not); dialed links try again by themselves. An accepted link may be freed
	 * now. */
	void (*ended)(struct link *link, bool was_ready);
	/* A connection was refused: the peer's process is not there. Dialed links only. */
	void (*refused)(struct link *link);
	void (*bad_frame)(struct link *link, int status);
};

struct link_batch;
struct link {
	struct list siblings; /* the owner's */
	struct env *env;
	const struct link_events *events;
	void *owner;
	bool dialed;
	char address[128];  /* dialed: of the peer */
	struct hello hello; /* ours; accepted links learn to_id and kind from the peer */
	uint64_t peer_id;
	struct life peer_life;
	bool waiting;  /* accepted: for link_welcome */
	bool commands; /* accepted: its first bytes are a Redis client's, who is told so */
	enum link_state state;
	bool was_ready;            /* before it began to close */
	struct env_stream *stream; /* NULL while WAITING or CLOSED */
	struct env_timer timer;    /* WAITING: dial again; CONNECTING, GREETING: give up */
	unsigned failures;         /* since it was last ready */
	int dial_status;           /* dialed, not ready: of the last attempt; 0: one of both refused the other */
	bool closing;              /* dialed: do not dial again */
	struct frame_reader reader;
	uint64_t asked_us;       /* dialed: asked since then without a sign of life; 0: not asked */
	uint64_t sign_us;        /* accepted: our last sign of life */
	size_t came;             /* bytes, since it was as much as LINK_LEAST */
	uint64_t *stamp_ms;      /* the owner's highest stamp, for every frame */
	struct link_batch *open; /* being put together, or NULL */
	struct list full;        /* put together, and wait for the flush */
	struct list writing;     /* batches given to env */
	struct link_batch *pong; /* among those given to env, or NULL */
	struct list spare;       /* batches for reuse */
	unsigned spare_count;
	size_t open_bytes; /* waiting for the flush, payloads included */
	uint64_t frames_out;
};

/* Dials after start; hello says who we are and whom and what kind we want. */
void link_init_dialed(struct link *link, struct env *env, const struct link_events *events, void *owner,
		      const char *address, const struct hello *hello, uint64_t *stamp_ms);
/* Takes over a stream that was accepted. */
void link_init_accepted(struct link *link, struct env *env, const struct link_events *events, void *owner,
			struct env_stream *stream, const struct hello *hello, uint64_t *stamp_ms);
/* The owner remembers the life of the peer, which waits for it: ready. */
void link_welcome(struct link *link);
/* Dials now, whatever the back-off says, unless connected or on the way. */
void link_dial(struct link *link);
/* Ends the connection; ended comes later. Dialed links dial again unless closing is set. */
void link_drop(struct link *link);
/* Frees memory; without callbacks from here on. The stream is closed, or env is dead. */
void link_fini(struct link *link);

static inline bool link_ready(const struct link *link)
{
	return link->state == LINK_READY;
}
/* The buffer to encode the next frame into (frame_begin … frame_end). Only READY. */
struct buf *link_out(struct link *link);
/* Sends the payload behind what was encoded so far; takes a reference. */
void link_out_entry(struct link *link, struct entry *entry);
/* Counts the frame that was just encoded. */
void link_out_done(struct link *link);
/* Sends what was put together, in one write if it can be. */
void link_flush(struct link *link);
/* Bytes put together or given to env and not yet taken by the kernel. */
size_t link_unsent(const struct link *link);

#endif /* RAFT_PEER_LINK_H */
