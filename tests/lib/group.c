#include "tests/lib/group.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define CLUSTER_ID 0x7a11

static void on_role(void *owner, enum replica_role role, uint64_t term, uint64_t leader_id)
{
	struct group_member *member = owner;
	member->losses += member->role == REPLICA_LEADER && role != REPLICA_LEADER;
	if (role != REPLICA_LEADER || term != member->term) {
		member->open = false;
	}
	member->role = role;
	member->term = term;
	member->leader_id = leader_id;
}

static void on_open_payload(void *owner, struct buf *payload)
{
	entry_begin(payload, ENTRY_OPEN, 1000);
	entry_end(payload);
}

static void on_open(void *owner, uint64_t term, uint64_t open_index)
{
	struct group_member *member = owner;
	member->order_errors +=
		term != member->term || member->role != REPLICA_LEADER || member->applied < open_index;
	member->open = true;
	member->opens++;
	member->open_index = open_index;
}

static void compare(struct group *group, const struct entry *entry)
{
	if (entry->index > group->agreed_upto) {
		group->disagreements += entry->index != group->agreed_upto + 1;
		group->agreed_upto = entry->index;
		group->agreed[entry->index] = entry->chain;
	} else {
		group->disagreements += !chain_equal(group->agreed[entry->index], entry->chain);
	}
}

static void on_committed(void *owner, struct entry *const *entries, size_t count)
{
	struct group_member *member = owner;
	for (size_t i = 0; i < count; i++) {
		const struct entry *entry = entries[i];
		assert(entry->index < GROUP_INDEX_MAX);
		member->order_errors += entry->index != member->applied + 1;
		member->applied = entry->index;
		compare(member->group, entry);
		member->chain[entry->index] = entry->chain;
		member->term_of[entry->index] = entry->term;
		member->type[entry->index] = entry->type;
		if (entry->type == ENTRY_CHANGE) {
			assert(entry->len <= sizeof(member->configuration));
			member->configuration_index = entry->index;
			member->configuration_len = entry->len;
			memcpy(member->configuration, entry->payload, entry->len);
		}
	}
	replica_applied(member->replica, member->applied);
}

static void on_commit_index(void *owner, uint64_t commit_index)
{
	struct group_member *member = owner;
	member->order_errors += commit_index <= member->commit_index;
	member->commit_index = commit_index;
	if (member->open && commit_index > member->group->acknowledged) {
		member->group->acknowledged = commit_index;
	}
}

static void on_stamp(void *owner, uint64_t stamp_ms)
{
	struct group_member *member = owner;
	member->order_errors += stamp_ms <= member->stamp_ms;
	member->stamp_ms = stamp_ms;
}

static void on_request(void *owner, uint64_t from_id, uint64_t token, struct slice request)
{
	struct group_member *member = owner;
	member->requests++;
	member->last_from = from_id;
	if (!member->answers) {
		return;
	}
	uint8_t *reply = malloc(request.len + 1);
	for (size_t i = 0; i < request.len; i++) {
		reply[i] = request.data[request.len - 1 - i];
	}
	replica_reply(member->replica, from_id, token, slice_of(reply, request.len));
	free(reply);
}

static void on_stopped(void *owner, const char *line)
{
	struct group_member *member = owner;
	member->stopped = true;
	snprintf(member->stop_line, sizeof(member->stop_line), "%s", line);
}

static const struct replica_events events = {
	.on_role = on_role,
	.on_open_payload = on_open_payload,
	.on_open = on_open,
	.on_committed = on_committed,
	.on_commit_index = on_commit_index,
	.on_stamp = on_stamp,
	.on_request = on_request,
	.on_stopped = on_stopped,
};

int group_open(struct group *group, size_t i, struct err *err)
{
	struct group_member *member = &group->members[i];
	assert(member->replica == NULL);
	member->group = group;
	member->role = REPLICA_FOLLOWER;
	member->open = member->closed = member->stopped = false;
	member->term = member->leader_id = member->stamp_ms = 0;
	member->commit_index = member->applied;
	for (size_t j = 0; j < group->count; j++) {
		group->bootstrap[j] =
			(struct replica_member){group->members[j].id, group->members[j].address};
	}
	struct replica_config config = {
		.env = member->env,
		.log = group->log,
		.dir = member->dir,
		.cluster_id = CLUSTER_ID,
		.id = member->id,
		.members = group->bootstrap,
		.member_count = group->count,
		.bootstrap = true,
		.listen = group->count > 1 ? member->address : NULL,
		.election_ms = 300,
		.heartbeat_ms = 50,
		.segment_bytes = group->segment_bytes,
		.keep_bytes = group->keep_bytes,
		.cache_bytes = group->cache_bytes,
		.events = &events,
		.owner = member,
	};
	struct replica_applied_state applied = {
		.index = member->applied,
		.term = member->term_of[member->applied],
		.chain = member->chain[member->applied],
		.configuration_index = member->configuration_index,
		.configuration = slice_of(member->configuration, member->configuration_len),
	};
	int status = replica_open(&config, &applied, &member->replica, err);
	if (status == 0) {
		status = replica_start(member->replica, err);
		if (status != 0) {
			replica_free(member->replica);
			member->replica = NULL;
		}
	}
	return status;
}

void group_wipe(struct group *group, size_t i)
{
	struct group_member *member = &group->members[i];
	assert(member->replica == NULL);
	member->applied = member->configuration_index = 0;
	member->configuration_len = 0;
}

struct group_member *group_leader(struct group *group)
{
	struct group_member *leader = NULL;
	for (size_t i = 0; i < group->count; i++) {
		struct group_member *member = &group->members[i];
		if (member->replica != NULL && member->open &&
		    (leader == NULL || member->term > leader->term)) {
			leader = member;
		}
	}
	return leader;
}

uint64_t group_propose(struct group_member *leader, size_t len)
{
	uint8_t *bytes = malloc(len + 1);
	uint64_t index = replica_next_index(leader->replica);
	for (size_t i = 0; i < len; i++) {
		bytes[i] = (uint8_t)(index * 7 + leader->id + i);
	}
	struct entry *entry = entry_new(ENTRY_COMMAND, slice_of(bytes, len));
	free(bytes);
	if (replica_propose(leader->replica, entry, 2000 + index) != 0) {
		entry_unref(entry);
		return 0;
	}
	return index;
}

bool group_applied(struct group *group, uint64_t index)
{
	for (size_t i = 0; i < group->count; i++) {
		if (group->members[i].replica != NULL && group->members[i].applied < index) {
			return false;
		}
	}
	return true;
}

bool group_wait_applied(void *owner)
{
	struct group_wait *wait = owner;
	return group_applied(wait->group, wait->index);
}

void group_read_cb(struct replica_read *read, int status)
{
	struct group_reader *reader = list_entry(read, struct group_reader, read);
	reader->called++;
	reader->status = status;
}

bool group_agrees(struct group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		const struct group_member *a = &group->members[i], *b = &group->members[0];
		uint64_t shared = a->applied < b->applied ? a->applied : b->applied;
		if (a->order_errors > 0 || group->disagreements > 0) {
			return false;
		}
		for (uint64_t index = 1; index <= shared; index++) {
			if (!chain_equal(a->chain[index], b->chain[index]) && a->term_of[index] != 0 &&
			    b->term_of[index] != 0) {
				return false;
			}
		}
	}
	return true;
}
