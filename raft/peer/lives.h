/* Who has lived: every start of this member, and the last start of each other
 * member that it has met. So a member that lost its memory is found out before it
 * votes or acknowledges: by the others, who remember a start that its directory
 * has never had (docs/decisions/0008-founding.md).
 *
 * A life is one start of one directory: the number of the start, and an id drawn
 * for it. It is durable here before anybody hears of it. A directory that was
 * emptied, or that is an older copy, counts on from fewer starts and draws other
 * ids: it did not live what the others remember. What another member claims to be
 * is remembered durably before anything that it says is counted (peer/link).
 *
 * The file "lives" in the log's directory, in two copies (raft/copies.h), at 0 and
 * LIVES_STRIDE.
 *
 *   offset  size  field (little-endian)
 *   0       32    head of a copy: "TALLYLIV", version 1, sequence
 *   32      8     number of our newest start, from 1
 *   40      4     o, ids of ours that follow: 1 to LIVES_OWN_MAX
 *   44      4     m, other members: at most LIMIT_MEMBERS
 *   48      8*o   ids of our starts, the newest last
 *   …       24*m  member id, number of its start, id of that life
 *
 * Absent: no start is known, and nobody. It has its full size from the beginning: a
 * full disk does not keep a member from remembering another. */
#ifndef RAFT_PEER_LIVES_H
#define RAFT_PEER_LIVES_H

#include "base/buf.h"
#include "base/limits.h"
#include "env/env.h"
#include "raft/copies.h"
#include "wire/frame.h"

/* Older starts of ours are forgotten. Who met us last in one of those cannot be told from one who met the
 * directory that this is an older copy of: it lets us in no more, we do not end, and that is said once
 * (peer_remembers_too_old). So many starts without meeting a member are hours of a process that is started
 * again and again and does not live long enough to be heard, or while the other is away. */
#define LIVES_OWN_MAX 4096
#define LIVES_STRIDE 36864
#define LIVES_BYTES_MAX (48 + LIVES_OWN_MAX * 8 + LIMIT_MEMBERS * 24)

struct lives_image {
	uint64_t sequence, start;
	uint32_t own_count, member_count;
	uint64_t own[LIVES_OWN_MAX]; /* the newest last */
	struct lives_member {
		uint64_t id;
		struct life life;
	} members[LIMIT_MEMBERS];
};
/* Appends the bytes of a slot to out. */
void lives_encode(struct buf *out, enum copies_slot slot, const struct lives_image *image);
/* 0, ERR_CORRUPT or ERR_VERSION; bytes behind the end are not looked at. */
int lives_decode(struct slice bytes, enum copies_slot slot, struct lives_image *image);

struct lives;
/* Blocking; dir exists, and is borrowed until our life has begun. What is there, or nothing yet; other errors
 * as of copies_open. */
int lives_open(struct env *env, const char *dir, struct lives **lives, struct err *err);
/* Blocking; once. Begins another life of this member and makes it durable: as late as can be, for a start
 * that comes to nothing (its port is taken) should not count. After a failure it may have begun. */
int lives_begin(struct lives *lives, struct err *err);
/* It was not started, or its lane is closed, or the env is dead. NULL ok. */
void lives_free(struct lives *lives);
/* The lane for what is remembered from here on. remembered: a write has ended, with 0 or with what the
 * disk said; then what it should have added is as unknown as before. */
void lives_start(struct lives *lives, struct env_lane *lane, void (*remembered)(void *owner, int status),
		 void *owner);

/* The life that this start is, once it has begun. */
struct life lives_own(const struct lives *lives);
/* Whether this directory has lived that: UNKNOWN when it is longer ago than is remembered. */
enum lives_answer { LIVES_LIVED, LIVES_NEVER, LIVES_UNKNOWN };
enum lives_answer lives_lived(const struct lives *lives, struct life life);
/* What is durably remembered of another member; start 0: nothing. */
struct life lives_of(const struct lives *lives, uint64_t id);
/* Begins to remember; the caller knows that it has lived what lives_of says. False when there is no room for
 * one more member, when another life of it is being written, or when it is no later one. */
bool lives_remember(struct lives *lives, uint64_t id, struct life life);

#endif /* RAFT_PEER_LIVES_H */
