#include "raft/message.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/limits.h"

#define APPEND_HEAD 64
#define APPEND_ENTRY 32
_Static_assert(APPEND_HEAD + MESSAGE_ENTRIES_MAX * APPEND_ENTRY <= KIB(4),
	       "heads fit beside a frame's payloads");
_Static_assert(LIMIT_ENTRY <= APPEND_PAYLOAD_MAX, "every entry fits a frame");

/* ---- append ---- */

static bool head_makes_sense(const struct append_head *head)
{
	return head->term > 0 && head->previous_term <= head->term &&
	       (head->previous_index == 0) == (head->previous_term == 0) &&
	       head->count <= MESSAGE_ENTRIES_MAX && head->previous_index < UINT64_MAX - MESSAGE_ENTRIES_MAX;
}

void message_send_append(struct link *link, uint64_t stamp_ms, const struct append_head *head,
			 struct entry *const *entries)
{
	assert(head->count <= MESSAGE_ENTRIES_MAX);
	assert(head_makes_sense(head)); /* who receives it asks the same */
	struct buf *out = link_out(link);
	size_t begin = frame_begin(out, FRAME_APPEND, stamp_ms);
	size_t bytes = APPEND_HEAD + head->count * APPEND_ENTRY;
	size_t payload_bytes = 0;
	uint8_t *at = buf_reserve(out, bytes);
	assert(at != NULL);
	memset(at, 0, bytes);
	bytes_put_u64(at, head->term);
	bytes_put_u64(at + 8, head->previous_index);
	bytes_put_u64(at + 16, head->previous_term);
	bytes_put_u64(at + 24, head->commit_index);
	bytes_put_u64(at + 32, head->kept);
	bytes_put_u64(at + 40, head->previous_chain.low);
	bytes_put_u64(at + 48, head->previous_chain.high);
	bytes_put_u32(at + 56, head->count);
	at[60] = head->chain_known;
	at += APPEND_HEAD;
	for (uint32_t i = 0; i < head->count; i++, at += APPEND_ENTRY) {
		const struct entry *entry = entries[i];
		assert(entry->index == head->previous_index + 1 + i);
		assert(entry->term <= head->term);
		bytes_put_u64(at, entry->term);
		bytes_put_u64(at + 8, entry->chain.low);
		bytes_put_u64(at + 16, entry->chain.high);
		bytes_put_u32(at + 24, entry->len);
		at[28] = entry->type;
		payload_bytes += entry->len;
	}
	assert(payload_bytes <= APPEND_PAYLOAD_MAX);
	out->len += bytes;
	frame_end(out, begin, payload_bytes);
	for (uint32_t i = 0; i < head->count; i++) {
		link_out_entry(link, entries[i]);
	}
	link_out_done(link);
}

int message_take_append(const struct frame *frame, struct append_head *head, struct append_entry *entries)
{
	if (frame->covered < APPEND_HEAD) {
		return ERR_INVALID;
	}
	const uint8_t *at = frame->body.data;
	struct append_head found = {
		.term = bytes_u64(at),
		.previous_index = bytes_u64(at + 8),
		.previous_term = bytes_u64(at + 16),
		.commit_index = bytes_u64(at + 24),
		.kept = bytes_u64(at + 32),
		.previous_chain = {bytes_u64(at + 40), bytes_u64(at + 48)},
		.chain_known = at[60] != 0,
		.count = bytes_u32(at + 56),
	};
	if (!head_makes_sense(&found) || frame->covered != APPEND_HEAD + found.count * APPEND_ENTRY) {
		return ERR_INVALID;
	}
	struct slice payloads = slice_skip(frame->body, frame->covered);
	uint64_t term = found.previous_term;
	at += APPEND_HEAD;
	for (uint32_t i = 0; i < found.count; i++, at += APPEND_ENTRY) {
		struct append_entry *entry = &entries[i];
		uint32_t len = bytes_u32(at + 24);
		entry->term = bytes_u64(at);
		entry->chain = (struct chain){bytes_u64(at + 8), bytes_u64(at + 16)};
		entry->type = at[28];
		if (entry->term < term || entry->term == 0 || entry->term > found.term || len > LIMIT_ENTRY ||
		    entry->type < ENTRY_COMMAND || entry->type > ENTRY_CHANGE ||
		    !slice_take(&payloads, len, &entry->payload)) {
			return ERR_INVALID;
		}
		term = entry->term;
	}
	if (payloads.len > 0) {
		return ERR_INVALID;
	}
	*head = found;
	return 0;
}

/* ---- the small ones ---- */

static void put_append_result(struct buf *out, const struct raft_append_entries_result *m)
{
	assert(m->term > 0);
	buf_append_u64(out, m->term);
	buf_append_u64(out, m->rejected);
	buf_append_u64(out, m->last_log_index);
	buf_append_u32(out, m->version);
	buf_append_u16(out, m->features);
	buf_append_u16(out, m->capacity);
}

static bool take_append_result(struct slice body, struct raft_append_entries_result *m)
{
	uint64_t term, rejected, last;
	uint32_t version;
	uint16_t features, capacity;
	if (!slice_take_u64(&body, &term) || !slice_take_u64(&body, &rejected) ||
	    !slice_take_u64(&body, &last) || !slice_take_u32(&body, &version) ||
	    !slice_take_u16(&body, &features) || !slice_take_u16(&body, &capacity) || body.len > 0 ||
	    version > 255 || term == 0) {
		return false;
	}
	*m = (struct raft_append_entries_result){.version = (unsigned char)version,
						 .term = term,
						 .rejected = rejected,
						 .last_log_index = last,
						 .features = features,
						 .capacity = capacity};
	return true;
}

static void put_vote(struct buf *out, const struct raft_request_vote *m)
{
	assert(m->term > 0);
	assert(m->candidate_id != 0);
	assert(m->last_log_term <= m->term);
	buf_append_u64(out, m->term);
	buf_append_u64(out, m->candidate_id);
	buf_append_u64(out, m->last_log_index);
	buf_append_u64(out, m->last_log_term);
	buf_append_byte(out, m->version);
	buf_append_byte(out, m->disrupt_leader);
	buf_append_byte(out, m->pre_vote);
	buf_append(out, "\0\0\0\0\0", 5);
}

static bool take_vote(struct slice body, uint64_t from_id, struct raft_request_vote *m)
{
	uint64_t term, candidate, last_index, last_term;
	struct slice flags;
	if (!slice_take_u64(&body, &term) || !slice_take_u64(&body, &candidate) ||
	    !slice_take_u64(&body, &last_index) || !slice_take_u64(&body, &last_term) ||
	    !slice_take(&body, 8, &flags) || body.len > 0 || term == 0 || candidate != from_id) {
		return false;
	}
	*m = (struct raft_request_vote){.version = flags.data[0],
					.term = term,
					.candidate_id = candidate,
					.last_log_index = last_index,
					.last_log_term = last_term,
					.disrupt_leader = flags.data[1] != 0,
					.pre_vote = flags.data[2] != 0};
	return true;
}

static void put_vote_result(struct buf *out, const struct raft_request_vote_result *m)
{
	buf_append_u64(out, m->term);
	buf_append_byte(out, m->version);
	buf_append_byte(out, m->vote_granted);
	buf_append_byte(out, m->pre_vote);
	buf_append_byte(out, 0);
	buf_append_u16(out, m->features);
	buf_append_u16(out, m->capacity);
}

static bool take_vote_result(struct slice body, struct raft_request_vote_result *m)
{
	uint64_t term;
	struct slice flags;
	uint16_t features, capacity;
	if (!slice_take_u64(&body, &term) || !slice_take(&body, 4, &flags) ||
	    !slice_take_u16(&body, &features) || !slice_take_u16(&body, &capacity) || body.len > 0) {
		return false;
	}
	*m = (struct raft_request_vote_result){.version = flags.data[0],
					       .term = term,
					       .vote_granted = flags.data[1] != 0,
					       .pre_vote = flags.data[2] != 0,
					       .features = features,
					       .capacity = capacity};
	return true;
}

static bool take_timeout_now(struct slice body, struct raft_timeout_now *m)
{
	uint64_t term, last_index, last_term;
	if (!slice_take_u64(&body, &term) || !slice_take_u64(&body, &last_index) ||
	    !slice_take_u64(&body, &last_term) || body.len > 0 || term == 0) {
		return false;
	}
	*m = (struct raft_timeout_now){
		.term = term, .last_log_index = last_index, .last_log_term = last_term};
	return true;
}

static uint8_t frame_type_of(enum raft_message_type type)
{
	switch (type) {
	case RAFT_APPEND_ENTRIES_RESULT:
		return FRAME_APPEND_RESULT;
	case RAFT_REQUEST_VOTE:
		return FRAME_VOTE;
	case RAFT_REQUEST_VOTE_RESULT:
		return FRAME_VOTE_RESULT;
	case RAFT_TIMEOUT_NOW:
		return FRAME_TIMEOUT_NOW;
	default:
		return 0;
	}
}

bool message_send(struct link *link, uint64_t stamp_ms, const struct raft_message *message)
{
	uint8_t type = frame_type_of(message->type);
	if (type == 0) {
		return false;
	}
	assert(link_ready(link));
	struct buf *out = link_out(link);
	size_t begin = frame_begin(out, type, stamp_ms);
	switch (message->type) {
	case RAFT_APPEND_ENTRIES_RESULT:
		put_append_result(out, &message->append_entries_result);
		break;
	case RAFT_REQUEST_VOTE:
		put_vote(out, &message->request_vote);
		break;
	case RAFT_REQUEST_VOTE_RESULT:
		put_vote_result(out, &message->request_vote_result);
		break;
	default:
		buf_append_u64(out, message->timeout_now.term);
		buf_append_u64(out, message->timeout_now.last_log_index);
		buf_append_u64(out, message->timeout_now.last_log_term);
	}
	frame_end(out, begin, 0);
	link_out_done(link);
	return true;
}

int message_take(const struct frame *frame, uint64_t from_id, struct raft_message *message)
{
	bool taken = false;
	if (frame->covered != frame->body.len) {
		return ERR_INVALID;
	}
	memset(message, 0, sizeof(*message));
	switch (frame->type) {
	case FRAME_APPEND_RESULT:
		message->type = RAFT_APPEND_ENTRIES_RESULT;
		taken = take_append_result(frame->body, &message->append_entries_result);
		break;
	case FRAME_VOTE:
		message->type = RAFT_REQUEST_VOTE;
		taken = take_vote(frame->body, from_id, &message->request_vote);
		break;
	case FRAME_VOTE_RESULT:
		message->type = RAFT_REQUEST_VOTE_RESULT;
		taken = take_vote_result(frame->body, &message->request_vote_result);
		break;
	case FRAME_TIMEOUT_NOW:
		message->type = RAFT_TIMEOUT_NOW;
		taken = take_timeout_now(frame->body, &message->timeout_now);
		break;
	default:
		break;
	}
	return taken ? 0 : ERR_INVALID;
}

/* ---- ours ---- */

void message_send_probe(struct link *link, uint64_t stamp_ms, uint8_t type, uint64_t term, uint64_t round)
{
	assert(type == FRAME_PROBE || type == FRAME_ECHO);
	assert(link_ready(link));
	assert(term > 0);
	struct buf *out = link_out(link);
	size_t begin = frame_begin(out, type, stamp_ms);
	buf_append_u64(out, term);
	buf_append_u64(out, round);
	frame_end(out, begin, 0);
	link_out_done(link);
}

int message_take_probe(const struct frame *frame, uint64_t *term, uint64_t *round)
{
	struct slice body = frame->body;
	if (frame->covered != body.len || body.len != 16) {
		return ERR_INVALID;
	}
	slice_take_u64(&body, term);
	slice_take_u64(&body, round);
	return 0;
}

void message_send_request(struct link *link, uint64_t stamp_ms, uint8_t type, uint64_t token,
			  struct slice bytes)
{
	assert(type == FRAME_REQUEST || type == FRAME_REPLY);
	assert(link_ready(link));
	struct buf *out = link_out(link);
	size_t begin = frame_begin(out, type, stamp_ms);
	buf_append_u64(out, token);
	buf_append_u64(out, link->peer_life.id);
	buf_append_slice(out, bytes);
	frame_end(out, begin, 0);
	link_out_done(link);
}

int message_take_request(const struct frame *frame, uint64_t *token, uint64_t *life, struct slice *bytes)
{
	struct slice body = frame->body;
	if (frame->covered != body.len || !slice_take_u64(&body, token) || !slice_take_u64(&body, life)) {
		return ERR_INVALID;
	}
	*bytes = body;
	return 0;
}
