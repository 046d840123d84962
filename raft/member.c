#include "raft/member.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/limits.h"

#define ENCODING_VERSION 1

int member_check(struct slice encoded)
{
	uint8_t version, role;
	uint64_t count, id;
	uint64_t ids[LIMIT_MEMBERS];
	struct slice addresses[LIMIT_MEMBERS];
	if (encoded.len % 8 != 0 || encoded.len > CONFIGURATION_BYTES_MAX ||
	    !slice_take_u8(&encoded, &version) || version != ENCODING_VERSION ||
	    !slice_take_u64(&encoded, &count) || count == 0 || count > LIMIT_MEMBERS) {
		return ERR_INVALID;
	}
	for (uint64_t i = 0; i < count; i++) {
		if (!slice_take_u64(&encoded, &id) || id == 0) {
			return ERR_INVALID;
		}
		const uint8_t *end = encoded.len == 0 ? NULL : memchr(encoded.data, 0, encoded.len);
		if (end == NULL || end == encoded.data) {
			return ERR_INVALID;
		}
		addresses[i] = slice_of(encoded.data, (size_t)(end - encoded.data));
		encoded = slice_skip(encoded, addresses[i].len + 1);
		if (!slice_take_u8(&encoded, &role) || role > RAFT_SPARE) {
			return ERR_INVALID;
		}
		for (uint64_t j = 0; j < i; j++) {
			if (ids[j] == id || slice_equal(addresses[j], addresses[i])) {
				return ERR_INVALID;
			}
		}
		ids[i] = id;
	}
	for (size_t i = 0; i < encoded.len; i++) {
		if (encoded.data[i] != 0 || encoded.len >= 8) {
			return ERR_INVALID;
		}
	}
	return 0;
}

void member_decode(struct slice encoded, struct raft_configuration *configuration)
{
	assert(member_check(encoded) == 0);
	struct raft_buffer buffer = {.base = (void *)(uintptr_t)encoded.data, .len = encoded.len};
	int status = raft_configuration_decode(&buffer, configuration);
	if (status != 0) {
		fatal("a configuration of the cluster cannot be decoded: %s", raft_strerror(status));
	}
	assert(configuration->n > 0);
	assert(configuration->n <= LIMIT_MEMBERS);
}

void member_encode(const struct replica_member *members, size_t count, struct buf *out)
{
	struct raft_configuration configuration;
	raft_configuration_init(&configuration);
	for (size_t i = 0; i < count; i++) {
		assert(i == 0 || members[i - 1].id < members[i].id);
		int status =
			raft_configuration_add(&configuration, members[i].id, members[i].address, RAFT_VOTER);
		if (status != 0) {
			fatal("the configuration of the cluster cannot be made: %s", raft_strerror(status));
		}
	}
	struct raft_buffer buffer;
	if (raft_configuration_encode(&configuration, &buffer) != 0) {
		fatal("out of memory: the configuration of the cluster");
	}
	buf_append(out, buffer.base, buffer.len);
	raft_free(buffer.base);
	raft_configuration_close(&configuration);
}

bool member_votes(const struct raft_configuration *configuration, uint64_t id)
{
	for (unsigned i = 0; i < configuration->n; i++) {
		if (configuration->servers[i].id == id) {
			return configuration->servers[i].role == RAFT_VOTER;
		}
	}
	return false;
}

unsigned member_voters(const struct raft_configuration *configuration)
{
	unsigned count = 0;
	for (unsigned i = 0; i < configuration->n; i++) {
		count += configuration->servers[i].role == RAFT_VOTER;
	}
	return count;
}

bool member_is_only_voter(struct slice encoded, uint64_t id)
{
	struct raft_configuration configuration;
	assert(id != 0);
	member_decode(encoded, &configuration);
	bool only = member_voters(&configuration) == 1 && member_votes(&configuration, id);
	raft_configuration_close(&configuration);
	return only;
}
