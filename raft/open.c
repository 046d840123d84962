/* What a directory and a database say about a member at a start, and whether
 * they fit. Blocking. What does not fit is truth lost, and refused. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "raft/member.h"
#include "raft/replica_private.h"

#define LOST "its memory is not whole: put its own last directory back (docs/operations.md)"

/* The log's directory, and its name in the one above, are durable before anything in it counts. */
static int make_dir(struct replica *r, struct err *err)
{
	int status = env_mkdir(r->env, r->dir);
	if (status != 0 && status != ERR_EXISTS) {
		return err_set(err, status, "cannot make %s: %s", r->dir, err_name(status));
	}
	char parent[sizeof(r->dir)];
	snprintf(parent, sizeof(parent), "%s", r->dir);
	char *slash = strrchr(parent, '/');
	if (slash == NULL) {
		snprintf(parent, sizeof(parent), ".");
	} else if (slash > parent) {
		*slash = '\0';
	}
	status = env_dir_sync(r->env, parent);
	return status == 0 ? 0 : err_set(err, status, "cannot sync %s: %s", parent, err_name(status));
}

/* An empty directory begins with term 1 and no vote. */
static int open_vote(struct replica *r, struct err *err)
{
	int status = hardstate_open(r->env, r->dir, &r->vote, &r->vote_file, err);
	if (status != ERR_NOT_FOUND) {
		return status;
	}
	if (!r->config.bootstrap || r->applied_state.index > 0) {
		return err_set(err, r->applied_state.index > 0 ? ERR_CORRUPT : ERR_INVALID,
			       "%s holds no log%s; %s", r->dir,
			       r->applied_state.index > 0 ? ", but the database has been in use" : "", LOST);
	}
	struct hardstate first = {.sequence = 1, .term = 1};
	env_random(r->env, &first.log_id, sizeof(first.log_id));
	status = hardstate_create(r->env, r->dir, &first, err);
	return status != 0 ? status : hardstate_open(r->env, r->dir, &r->vote, &r->vote_file, err);
}

/* Index 1, term 1, the configuration: the same bytes on every member. */
static struct entry *bootstrap_entry(const struct replica_config *config)
{
	struct buf bytes;
	buf_init(&bytes, CONFIGURATION_BYTES_MAX);
	member_encode(config->members, config->member_count, &bytes);
	assert(!buf_failed(&bytes));
	struct entry *entry = entry_new(ENTRY_CHANGE, buf_slice(&bytes));
	entry->index = 1;
	entry->term = 1;
	entry->chain = chain_next((struct chain){0, 0}, 1, 1, ENTRY_CHANGE, entry_payload(entry));
	buf_fini(&bytes);
	assert(member_check(entry_payload(entry)) == 0);
	return entry;
}

static int open_log(struct replica *r, const struct replica_config *config, struct err *err)
{
	struct wal_config wal;
	replica_wal_config(r, &wal);
	/* Only a member that never voted may begin again with nothing. */
	bool fresh = r->config.bootstrap && r->applied_state.index == 0 && r->vote.term == 1 &&
		     r->vote.voted_for == 0;
	struct entry *first = fresh ? bootstrap_entry(config) : NULL;
	wal.first_entry = first;
	int status = wal_open(&wal, &r->wal, err);
	entry_unref(first);
	if (status != 0) {
		return status;
	}
	if (wal_was_empty(r->wal) && !fresh) {
		return err_set(err, ERR_CORRUPT,
			       "%s: the log is gone, but this member has voted in term %llu; " LOST, r->dir,
			       (unsigned long long)r->vote.term);
	}
	return 0;
}

/* The log and the database at the applied index: an entry, or what the log begins behind. */
static int compare_at(struct replica *r, const struct replica_applied_state *applied, bool *same)
{
	if (applied->index < wal_first_index(r->wal)) {
		struct chain chain;
		*same = wal_term_of(r->wal, applied->index) == applied->term &&
			wal_chain_of(r->wal, applied->index, &chain) && chain_equal(chain, applied->chain);
		return 0;
	}
	struct entry *entry;
	int status = wal_load(r->wal, applied->index, &entry);
	if (status == 0) {
		*same = entry->term == applied->term && chain_equal(entry->chain, applied->chain);
		entry_unref(entry);
	}
	return status;
}

static int check_applied(struct replica *r, struct err *err)
{
	const struct replica_applied_state *applied = &r->applied_state;
	unsigned long long index = applied->index;
	if (wal_last_index(r->wal) < index) {
		return err_set(err, ERR_CORRUPT,
			       "%s: the log ends at %llu, before what the database holds (%llu); " LOST,
			       r->dir, (unsigned long long)wal_last_index(r->wal), index);
	}
	if (wal_first_index(r->wal) > index + 1) {
		return err_set(err, ERR_CORRUPT,
			       "%s: the log begins at %llu, behind what the database holds (%llu); " LOST,
			       r->dir, (unsigned long long)wal_first_index(r->wal), index);
	}
	uint64_t last_term = wal_term_of(r->wal, wal_last_index(r->wal));
	if (last_term > r->vote.term) {
		return err_set(err, ERR_CORRUPT,
			       "%s: the log holds term %llu, term and vote are of %llu; " LOST, r->dir,
			       (unsigned long long)last_term, (unsigned long long)r->vote.term);
	}
	if (index == 0) {
		return 0;
	}
	bool same;
	int status = compare_at(r, applied, &same);
	if (status != 0) {
		return err_set(err, status, "%s: entry %llu cannot be read (%s); " LOST, r->dir, index,
			       err_name(status));
	}
	return same ? 0
		    : err_set(err, ERR_CORRUPT, "%s: the log and the database differ at index %llu; " LOST,
			      r->dir, index);
}

/* Terms for the core's trail; payloads only of configurations. */
static int load_entries(struct replica *r, struct err *err)
{
	uint64_t first = wal_first_index(r->wal), last = wal_last_index(r->wal);
	assert(first > 0);
	assert(first <= last + 1);
	assert(r->start_entries == NULL);
	assert(r->start_change_count == 0);
	r->start_count = (size_t)(last + 1 - first);
	r->start_entries = calloc(r->start_count + 1, sizeof(*r->start_entries));
	r->start_changes = calloc(wal_change_count(r->wal) + 1, sizeof(*r->start_changes));
	if (r->start_entries == NULL || r->start_changes == NULL) {
		fatal("out of memory: the terms of %zu entries", r->start_count);
	}
	for (uint64_t index = first; index <= last; index++) {
		struct raft_entry *entry = &r->start_entries[index - first];
		entry->term = wal_term_of(r->wal, index);
		entry->type = RAFT_COMMAND;
		assert(entry->term > 0);
		assert(index == first || entry->term >= entry[-1].term);
	}
	for (size_t i = 0; i < wal_change_count(r->wal); i++) {
		uint64_t index = wal_change(r->wal, i);
		assert(index >= first);
		assert(index <= last);
		struct entry *change;
		int status = wal_load(r->wal, index, &change);
		if (status == 0 &&
		    (change->type != ENTRY_CHANGE || member_check(entry_payload(change)) != 0)) {
			entry_unref(change);
			status = ERR_CORRUPT;
		}
		if (status != 0) {
			return err_set(err, status,
				       "%s: the configuration at index %llu cannot be read (%s); " LOST,
				       r->dir, (unsigned long long)index, err_name(status));
		}
		r->start_changes[r->start_change_count++] = change;
		r->start_entries[index - first].type = RAFT_CHANGE;
		r->start_entries[index - first].buf = (struct raft_buffer){change->payload, change->len};
	}
	return 0;
}

static struct slice newest_configuration(const struct replica *r, uint64_t *index)
{
	struct entry *last = r->start_change_count > 0 ? r->start_changes[r->start_change_count - 1] : NULL;
	bool in_log = last != NULL && last->index > r->configuration_index;
	*index = in_log ? last->index : r->configuration_index;
	return in_log ? entry_payload(last) : buf_slice(&r->configuration);
}

static void name_members(struct slice encoded, char *out, size_t size)
{
	struct raft_configuration members;
	size_t at = 0;
	out[0] = '\0';
	member_decode(encoded, &members);
	for (unsigned i = 0; i < members.n && at < size; i++) {
		at += (size_t)snprintf(out + at, size - at, " %llu=%s", members.servers[i].id,
				       members.servers[i].address);
	}
	raft_configuration_close(&members);
}

/* Who sets other members than the cluster was founded with must not believe that they are. The address of a
 * member alone is nobody's. Once a change is in the log, the log alone says who they are. */
static int check_members(struct replica *r, const struct replica_config *config, struct err *err)
{
	uint64_t index;
	struct slice newest = newest_configuration(r, &index);
	if (newest.len == 0 || index != 1) {
		return 0;
	}
	struct buf set;
	buf_init(&set, CONFIGURATION_BYTES_MAX);
	member_encode(config->members, config->member_count, &set);
	bool same = slice_equal(newest, buf_slice(&set)) ||
		    (config->member_count == 1 && member_is_only_voter(newest, config->members[0].id));
	buf_fini(&set);
	if (!same) {
		char names[ERR_TEXT_MAX / 2];
		name_members(newest, names, sizeof(names));
		return err_set(err, ERR_INVALID,
			       "%s: the members of this cluster are%s, other than the member lines say: set "
			       "these, which cannot be changed yet (docs/operations.md)",
			       r->dir, names);
	}
	transport_set_members(r->transport, (uint32_t)checksum64(newest) | 1,
			      wal_last_index(r->wal) <= 1 && r->applied_state.index == 0);
	return 0;
}

/* A single voter elects itself at START in the same term, and could write a
 * second entry at an (index, term) that an earlier life has given away. */
static int raise_term_of_only_voter(struct replica *r, struct err *err)
{
	uint64_t index;
	struct slice newest = newest_configuration(r, &index);
	if (newest.len == 0 || !member_is_only_voter(newest, r->config.id)) {
		return 0;
	}
	r->vote.sequence++;
	r->vote.term++;
	r->vote.voted_for = r->config.id;
	int status = hardstate_store(r->vote_file, COPIES_A, &r->vote);
	if (status == 0) {
		status = hardstate_store(r->vote_file, COPIES_B, &r->vote);
	}
	return status == 0 ? 0 : err_set(err, status, "cannot write %s/vote: %s", r->dir, err_name(status));
}

static int open_all(struct replica *r, const struct replica_config *config, struct err *err)
{
	int status = make_dir(r, err);
	if (status == 0) {
		status = open_vote(r, err);
	}
	if (status == 0) {
		status = open_log(r, config, err);
	}
	if (status == 0) {
		status = check_applied(r, err);
	}
	if (status == 0) {
		status = load_entries(r, err);
	}
	if (status == 0) {
		status = check_members(r, config, err);
	}
	if (status == 0) {
		status = raise_term_of_only_voter(r, err);
	}
	if (status == 0) {
		status = lives_open(r->env, r->dir, &r->lives, err);
	}
	if (status == 0) {
		transport_set_lives(r->transport, r->lives);
	}
	return status;
}

int replica_open(const struct replica_config *config, const struct replica_applied_state *applied,
		 struct replica **replica, struct err *err)
{
	struct err ignored = {0};
	err = err != NULL ? err : &ignored;
	if (applied->index > 0 && member_check(applied->configuration) != 0) {
		return err_set(err, ERR_CORRUPT,
			       "the database's copy of the configuration makes no sense; " LOST);
	}
	struct replica *r = replica_new(config);
	r->applied_state = *applied;
	r->applied_state.configuration = SLICE_NONE;
	r->delivered = r->applied = r->commit_index = r->durable_in_database = applied->index;
	r->configuration_index = applied->configuration_index;
	buf_append_slice(&r->configuration, applied->configuration);
	int status = open_all(r, config, err);
	if (status != 0) {
		replica_free(r);
		return status;
	}
	assert(r->applied <= wal_last_index(r->wal));
	assert(wal_first_index(r->wal) <= r->applied + 1);
	r->vote_writing = r->vote;
	r->term = r->vote.term;
	replica_core_init(r);
	*replica = r;
	return 0;
}
