/* Bodies of frames between members: byte 0 is the type, byte 1 how much of the
 * body is covered. What is taken keeps what the core would only assert. */
#include <assert.h>

#include "raft/member.h"
#include "raft/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_append(const struct frame *frame)
{
	struct append_head head;
	struct append_entry entries[MESSAGE_ENTRIES_MAX];
	if (message_take_append(frame, &head, entries) != 0) {
		return;
	}
	uint64_t term = head.previous_term;
	size_t payloads = 0;
	assert(head.count <= MESSAGE_ENTRIES_MAX && head.term > 0);
	for (uint32_t i = 0; i < head.count; i++) {
		assert(entries[i].term >= term && entries[i].term <= head.term);
		assert(entries[i].payload.len <= LIMIT_ENTRY);
		term = entries[i].term;
		payloads += entries[i].payload.len;
		if (entries[i].type == ENTRY_CHANGE && member_check(entries[i].payload) == 0) {
			struct raft_configuration configuration;
			member_decode(entries[i].payload, &configuration);
			raft_configuration_close(&configuration);
		}
	}
	assert(payloads + frame->covered == frame->body.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2) {
		return 0;
	}
	struct slice body = slice_of(data + 2, size - 2);
	struct frame frame = {
		.type = data[0],
		.covered = (uint32_t)(data[1] == 0xff ? body.len : body.len * data[1] / 255),
		.body = body,
	};
	struct raft_message message;
	uint64_t a, b;
	struct slice rest;
	fuzz_append(&frame);
	if (message_take(&frame, 7, &message) == 0 && message.type == RAFT_REQUEST_VOTE) {
		assert(message.request_vote.candidate_id == 7 && message.request_vote.term > 0);
	}
	message_take_probe(&frame, &a, &b);
	if (message_take_request(&frame, &a, &b, &rest) == 0) {
		assert(rest.len + MESSAGE_REQUEST_HEAD == body.len);
	}
	if (member_check(body) == 0) {
		struct raft_configuration configuration;
		member_decode(body, &configuration);
		assert(configuration.n >= 1 && configuration.n <= LIMIT_MEMBERS);
		raft_configuration_close(&configuration);
	}
	return 0;
}
