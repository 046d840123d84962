/* Messages of the core as frames between members, and our probes.
 *
 * Bodies, integers little-endian (the head of a frame is in wire/frame.h):
 *
 *   append         term(8) previous index(8) previous term(8) commit(8) kept(8)
 *                  chain of the previous entry(16) count(4) chain known(1) zero(3)
 *                  count times: term(8) chain(16) bytes of payload(4) type(1) zero(3)
 *                  then, not covered by the frame's checksum, the payloads
 *   append result  term(8) rejected(8) last index(8) version(1) zero(3) features(2) capacity(2)
 *   vote           term(8) candidate(8) last index(8) last term(8) version(1) disrupt(1) pre-vote(1) zero(5)
 *   vote result    term(8) version(1) granted(1) pre-vote(1) zero(1) features(2) capacity(2)
 *   timeout now    term(8) last index(8) last term(8)
 *   probe, echo    term(8) round(8)
 *   request, reply token(8) and the rest
 *
 * `kept` is the highest index that every member is known to have: what lies
 * before it need not be kept for anybody. INSTALL_SNAPSHOT has no frame yet.
 *
 * Bytes from outside are input, not beliefs: what the core would only assert
 * is checked here (Debian builds it without its assertions). */
#ifndef RAFT_MESSAGE_H
#define RAFT_MESSAGE_H

#include <raft.h>

#include "raft/peer/link.h"

#define MESSAGE_ENTRIES_MAX 64 /* entries of one append */

struct append_head {
	uint64_t term, previous_index, previous_term, commit_index, kept;
	struct chain previous_chain;
	bool chain_known;
	uint32_t count;
};
/* Payload bytes that one frame takes. */
#define APPEND_PAYLOAD_MAX (LIMIT_APPEND - KIB(4))

/* Encodes a frame with head->count entries into link. */
void message_send_append(struct link *link, uint64_t stamp_ms, const struct append_head *head,
			 struct entry *const *entries);

struct append_entry {
	uint64_t term;
	struct chain chain;
	uint8_t type;
	struct slice payload; /* not verified yet: the chain does that */
};
/* 0 or ERR_INVALID. entries has room for MESSAGE_ENTRIES_MAX; payloads point into the frame. */
int message_take_append(const struct frame *frame, struct append_head *head, struct append_entry *entries);

/* The messages without entries. False when a type has no frame. */
bool message_send(struct link *link, uint64_t stamp_ms, const struct raft_message *message);
/* Fills message but for the server's id and address. from_id: a candidate speaks for itself. 0 or
 * ERR_INVALID. */
int message_take(const struct frame *frame, uint64_t from_id, struct raft_message *message);

/* FRAME_PROBE or FRAME_ECHO */
void message_send_probe(struct link *link, uint64_t stamp_ms, uint8_t type, uint64_t term, uint64_t round);
int message_take_probe(const struct frame *frame, uint64_t *term, uint64_t *round);

#define MESSAGE_REQUEST_HEAD 16
/* FRAME_REQUEST or FRAME_REPLY: token, id of the receiver's life that it is meant for, then bytes: at most
 * LIMIT_FRAME - MESSAGE_REQUEST_HEAD. */
void message_send_request(struct link *link, uint64_t stamp_ms, uint8_t type, uint64_t token,
			  struct slice bytes);
int message_take_request(const struct frame *frame, uint64_t *token, uint64_t *life, struct slice *bytes);

#endif /* RAFT_MESSAGE_H */
