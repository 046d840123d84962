/* The log behind what the database has made durable, and what is applied. */
#include <assert.h>

#include "raft/member.h"
#include "raft/replica_private.h"

void trim_learn_kept(struct replica *r)
{
	if (!replica_leads(r)) {
		return;
	}
	/* Ourselves too: the others may have committed what our own disk does not hold yet. */
	uint64_t kept = wal_durable_index(r->wal);
	const struct raft_configuration *configuration = &r->core.configuration;
	for (unsigned i = 0; i < configuration->n; i++) {
		raft_index match = 0;
		if (configuration->servers[i].id == r->config.id) {
			continue;
		}
		if (raft_match_index(&r->core, configuration->servers[i].id, &match) != 0) {
			match = 0;
		}
		kept = match < kept ? match : kept;
	}
	/* Beyond the commit index a member may still lose what it has; alone, there is nobody to keep for. */
	kept = kept < r->commit_index ? kept : r->commit_index;
	r->kept = kept > r->kept ? kept : r->kept;
}

static void trim_tick(struct replica *r)
{
	uint64_t durable = r->durable_in_database;
	trim_learn_kept(r);
	if (durable <= r->core.trail.snapshot.index || durable < r->configuration_index ||
	    wal_term_of(r->wal, durable) == 0 || r->stopped || r->closing) {
		return;
	}
	uint64_t first = wal_trim_point(r->wal, durable, r->kept, r->config.keep_bytes);
	if (first <= wal_first_index(r->wal)) {
		return;
	}
	step_snapshot(r, durable, first);
	if (r->stopped) {
		return;
	}
	wal_trim(r->wal, first);
	/* Not while the last one still takes segments away: the next time does both. */
	if (wal_first_index(r->wal) == first) {
		log_event(r->log, LOG_INFO, "log_trimmed", "first=%llu durable=%llu",
			  (unsigned long long)first, (unsigned long long)durable);
	}
}

/* ---- the door ---- */

void replica_applied(struct replica *r, uint64_t index)
{
	assert(index >= r->applied);
	assert(index <= r->delivered);
	assert(r->delivered <= r->commit_index);
	assert(r->delivered <= wal_last_index(r->wal));
	r->applied = index;
	while (r->change_count > 0 && r->changes[0]->index <= index && !r->stopped) {
		struct entry *change = r->changes[0];
		r->change_count--;
		memmove(&r->changes[0], &r->changes[1], r->change_count * sizeof(r->changes[0]));
		buf_reset(&r->configuration);
		buf_append_slice(&r->configuration, entry_payload(change));
		r->configuration_index = change->index;
		step_configuration(r, change->index, entry_payload(change));
		entry_unref(change);
	}
}

void replica_database_durable(struct replica *r, uint64_t index)
{
	assert(index <= r->applied);
	assert(r->durable_in_database <= r->applied);
	if (index > r->durable_in_database) {
		r->durable_in_database = index;
		trim_tick(r);
	}
}

void replica_configuration(const struct replica *r, uint64_t *index, struct slice *encoded)
{
	*index = r->configuration_index;
	*encoded = buf_slice(&r->configuration);
}
