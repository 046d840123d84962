#include "tests/lib/straw.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server/forward.h"

struct shard straw;

int shard_open(const struct shard_config *config, struct shard **shard, struct err *err)
{
	straw.config = *config;
	straw.reply_room = SIZE_MAX;
	buf_init(&straw.reply, LIMIT_FRAME);
	*shard = &straw;
	return 0;
}
int shard_start(struct shard *shard, struct err *err)
{
	return 0;
}
void shard_leave(struct shard *shard, void (*left)(void *owner))
{
	shard->left = left;
}
void shard_close(struct shard *shard, void (*closed)(void *owner))
{
	shard->closed = closed;
}
void shard_free(struct shard *shard)
{
	for (size_t i = 0; i < straw.forward_count; i++) {
		buf_fini(&straw.frames[i]);
	}
	buf_fini(&straw.reply);
	memset(&straw, 0, sizeof straw);
}
enum shard_role shard_role(const struct shard *shard, uint64_t *leader_id)
{
	*leader_id = shard->leader_id;
	return shard->role;
}
void shard_submit(struct shard *shard, struct request *request)
{
	char *at = shard->words[shard->count];
	assert(shard->count < STRAW_MAX);
	for (size_t i = 0; i < request->command_count; i++) {
		for (size_t a = 0; a < request->commands[i].argc && strlen(at) < 40; a++) {
			sprintf(at + strlen(at), "%s%.*s", at[0] == '\0' ? "" : " ",
				(int)(request->commands[i].argv[a].len > 16
					      ? 16
					      : request->commands[i].argv[a].len),
				(const char *)request->commands[i].argv[a].data);
		}
	}
	for (size_t i = 0; i < request->watch_count && strlen(at) < 40; i++) {
		sprintf(at + strlen(at), " @%.*s=%llu",
			(int)(request->watches[i].key.len > 16 ? 16 : request->watches[i].key.len),
			(const char *)request->watches[i].key.data,
			(unsigned long long)request->watches[i].version);
	}
	shard->requests[shard->count++] = request;
	if (shard->took_us != 0) {
		shard->config.on_ran(shard->config.owner, request, shard->took_us);
	}
}
bool shard_defers(struct shard *shard)
{
	return shard->defers;
}
bool shard_sheds(struct shard *shard, bool follows, bool writes)
{
	if (shard->asked != NULL) {
		shard->asked(shard->asker);
	}
	shard->shed += shard->sheds;
	shard->followed += follows;
	shard->wrote += writes;
	return shard->sheds;
}
void shard_cancel(struct shard *shard, struct request *request)
{
	for (size_t i = 0; i < shard->count; i++) {
		if (shard->requests[i] == request) {
			shard->requests[i] = NULL;
			shard->cancelled++;
		}
	}
}
void shard_forward(struct shard *shard, struct replica_forward *forward, uint64_t to_id, struct slice frame,
		   uint64_t timeout_ms)
{
	size_t at = shard->forward_count++;
	assert(at < STRAW_MAX);
	buf_init(&shard->frames[at], LIMIT_FRAME);
	buf_append_slice(&shard->frames[at], frame);
	shard->forwards[at] = forward;
	shard->to[at] = to_id;
}
bool shard_keyspace(struct shard *shard, struct census_count counts[CENSUS_DATABASES], uint64_t *age_ms)
{
	memset(counts, 0, CENSUS_DATABASES * sizeof counts[0]);
	counts[0] = (struct census_count){shard->count, 1};
	*age_ms = 0;
	return shard->count > 0;
}
size_t shard_forward_room(const struct shard *shard, uint64_t to_id)
{
	(void)to_id;
	return shard->reply_room;
}
void shard_forward_reply(struct shard *shard, uint64_t to_id, uint64_t token, struct slice frame)
{
	buf_reset(&shard->reply);
	buf_append_slice(&shard->reply, frame);
	shard->reply_count++;
}
void shard_transfer(struct shard *shard, uint64_t target_id, uint64_t timeout_ms,
		    void (*cb)(void *owner, int status), void *owner)
{
	cb(owner, ERR_NOT_LEADER);
}
void shard_stats(const struct shard *shard, struct shard_stats *stats)
{
	*stats = shard->stats;
}

void shard_store_sizes(const struct shard *shard, struct store_sizes *sizes)
{
	*sizes = (struct store_sizes){0};
}

void shard_store_backlog(const struct shard *shard, struct store_backlog *backlog)
{
	*backlog = (struct store_backlog){.young_files = 7};
}
void shard_hash(struct shard *shard, void (*cb)(void *owner, int status, struct chain hash, uint64_t index),
		void *owner)
{
}
void shard_watch_applied(struct shard *shard, void (*applied)(void *owner, const struct entry *entry),
			 void *owner)
{
}

void straw_answer(size_t at, const char *text)
{
	struct request *request = straw.requests[at];
	assert(request != NULL);
	straw.requests[at] = NULL;
	buf_append_text(&request->reply, text);
	request->done(request);
}

void straw_answer_forward(size_t at, int status, const char *text)
{
	struct request request;
	struct buf frame;
	request_init(&request);
	buf_init(&frame, LIMIT_FRAME);
	buf_append_text(&request.reply, text);
	request.code = text[0] == '-' ? code_find(slice_of(text + 1, strcspn(text + 1, " \r"))) : CODE_NONE;
	request.outcome = request.code == CODE_NONE ? request.outcome : code_outcome(request.code);
	forward_encode_answer(&frame, &request);
	straw.forwards[at]->cb(straw.forwards[at], status, status == 0 ? buf_slice(&frame) : SLICE_NONE);
	buf_fini(&frame);
	request_fini(&request);
}
