/* The N-th allocation fails, for every N that an operation reaches, each in a process
 * of its own (the linker's --wrap stands between our rooms and malloc).
 *
 * The rule: memory gone is fatal() with one line that begins "out of memory", because
 * what has been half done cannot be told from what was done. A bound that is reached is an error; that is
 * not this. Nobody may crash otherwise, trip an assertion, hang, or go on with a wrong answer.
 *
 * With TALLY_TEST_STRIDE=7 every seventh allocation fails: memcheck needs seconds for each of the processes.
 */
#include "env/uv_env.h"
#include "raft/wal/wal.h"
#include "tests/lib/solo.h"
#include "tests/lib/tap.h"
#include "tests/scenario/stage.h"
#include "tests/unit/script_world.h"
#include "wire/resp.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOUGH 20000   /* allocations; more means that something repeats without end */
#define BAD_MAX 10     /* what is wrong at the end of a story is wrong for every N */
#define PATIENCE_S 120 /* a child that needs so long hangs */

/* ---- the allocator ---- */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
char *__wrap_strdup(const char *text);

static uint64_t until; /* allocations until one fails; 0: none does. Lanes allocate too: atomic. */

static bool fails(void)
{
	uint64_t left = __atomic_load_n(&until, __ATOMIC_RELAXED);
	while (left != 0) {
		if (__atomic_compare_exchange_n(&until, &left, left - 1, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED)) {
			return left == 1;
		}
	}
	return false;
}

void *__wrap_malloc(size_t bytes)
{
	return fails() ? NULL : __real_malloc(bytes);
}
void *__wrap_calloc(size_t count, size_t bytes)
{
	return fails() ? NULL : __real_calloc(count, bytes);
}
void *__wrap_realloc(void *old, size_t bytes)
{
	return fails() ? NULL : __real_realloc(old, bytes);
}
char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

/* ---- stories: what is made ready first, and what happens while an allocation fails ---- */

struct story {
	const char *name;
	void (*prepare)(void);
	bool (*act)(void); /* whether the answers were right */
};

static void nothing(void) {}

static bool decode_request(void)
{
	struct resp_request_state state;
	struct arena arena;
	struct slice *argv;
	size_t argc = 0, used;
	struct buf input;
	struct err err;
	buf_init(&input, MIB(2));
	buf_append_text(&input, "*300\r\n");
	for (unsigned i = 0; i < 300; i++) {
		buf_append_text(&input, "$5\r\nword!\r\n");
	}
	arena_init(&arena, 256);
	resp_request_init(&state);
	int status = resp_request_parse(&state, buf_slice(&input), &arena, &argv, &argc, &used, &err);
	bool right = status == 0 && argc == 300 && slice_equal(argv[299], SLICE_LIT("word!"));
	resp_request_fini(&state);
	arena_fini(&arena);
	buf_fini(&input);
	return right;
}

static struct solo solo;
static struct buf solo_out;

static void solo_prepare(void)
{
	solo_open(&solo);
	buf_init(&solo_out, MIB(2));
	solo_line(&solo, &solo_out, "SET before 1");
	solo_apply(&solo);
}

static bool solo_act(void)
{
	bool right = strcmp(solo_line(&solo, &solo_out, "SET k a-value"), "+OK\r\n") == 0;
	right = right && strcmp(solo_line(&solo, &solo_out, "APPEND k .more"), ":12\r\n") == 0;
	right = right && strcmp(solo_line(&solo, &solo_out, "MSET a 1 b 2 c 3 d 4"), "+OK\r\n") == 0;
	right = right && strcmp(solo_line(&solo, &solo_out, "INCR before"), ":2\r\n") == 0;
	solo_apply(&solo);
	return right && strcmp(solo_line(&solo, &solo_out, "GET k"), "$12\r\na-value.more\r\n") == 0;
}

static const char *const bundle[] = {
	"tables.lua",
	"tables { pool = { key = { 'sku' }, columns = { sku = id, left = count } } }\n",
	"pool/fill.lua",
	"procedure { name = 'pool.fill', writes = true, args = { sku = id, qty = int(1, 1000) }, result = { "
	"left = int } }\n"
	"return function(call)\n"
	"  db.pool:insert { sku = call.sku, left = call.qty }\n"
	"  local words = {}\n"
	"  for i = 1, 200 do words[i] = 'word ' .. i end\n"
	"  assert(#table.concat(words) > 1000)\n"
	"  return { left = db.pool:need(call.sku).left }\n"
	"end\n",
	NULL,
};
static struct world scripts;

static bool push(void)
{
	struct err err = {0};
	int status = world_push(&scripts, bundle, &err);
	if (status != 0) {
		fprintf(stderr, "%s\n", err.text);
	}
	return status == 0;
}
static void scripts_prepare(void)
{
	world_open(&scripts);
}
static void call_prepare(void)
{
	world_open(&scripts);
	push();
}
static bool call(void)
{
	int status = world_call(&scripts, "pool.fill", "sku", "phone", "qty", "9", NULL);
	world_apply(&scripts);
	return status == 0 && strstr(world_reply(&scripts), "9") != NULL;
}

/* The log on real files. */
static struct env *env;
static uint64_t durable;
static bool log_closed;
static void log_durable(void *owner, uint64_t index)
{
	durable = index;
}
static void log_failed(void *owner, const char *line)
{
	fprintf(stderr, "%s\n", line);
}
static void log_close_cb(void *owner)
{
	log_closed = true;
}
static bool log_is_durable(void *owner)
{
	return durable == 8;
}
static bool log_is_closed(void *owner)
{
	return log_closed;
}

static void log_prepare(void)
{
	env = uv_env_new(NULL);
}
static bool log_append(void)
{
	char dir[512];
	struct err err = {0};
	struct wal *wal;
	snprintf(dir, sizeof(dir), "%s/log-%d", tap_dir(), (int)getpid());
	if (env_mkdir(env, dir) != 0) {
		return false;
	}
	struct wal_config config = {
		.env = env,
		.dir = dir,
		.log_id = 77,
		.segment_bytes = KIB(8),
		.cache_bytes = KIB(4),
		.on_durable = log_durable,
		.on_failed = log_failed,
	};
	if (wal_open(&config, &wal, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		return false;
	}
	wal_start(wal);
	struct chain chain = {0, 0};
	for (uint64_t index = 1; index <= 8; index++) {
		static const uint8_t payload[2000];
		struct entry *entry = entry_new(ENTRY_COMMAND, slice_of(payload, sizeof(payload)));
		entry->index = index;
		entry->term = 1;
		entry->chain = chain = chain_next(chain, index, 1, entry->type, entry_payload(entry));
		wal_append(wal, entry);
		entry_unref(entry);
	}
	wal_flush(wal);
	uv_env_run_until(env, log_is_durable, NULL, PATIENCE_S * 1000);
	wal_close(wal, log_close_cb);
	uv_env_run_until(env, log_is_closed, NULL, PATIENCE_S * 1000);
	wal_free(wal);
	return durable == 8;
}

/* A whole node and a client, in the simulated world. */
static struct stage stage;
static void cold_prepare(void)
{
	stage_open(&stage, 5, 1); /* nothing has begun yet */
}
static void warm_prepare(void)
{
	stage_open(&stage, 5, 1);
	stage_set(&stage, "k", "before");
}
static bool ask(void)
{
	return stage_set(&stage, "k", "v") == TALLY_DONE && strcmp(stage_get(&stage, "k"), "v") == 0;
}
static bool eval(void)
{
	static const char *const words[] = {"EVAL", "return redis.call('INCR', KEYS[1])", "1", "n", NULL};
	return stage_ask(&stage, false, 30000, words) == TALLY_DONE && strcmp(stage.text, "1") == 0;
}

static const struct story stories[] = {
	{"a request is decoded", nothing, decode_request},
	{"commands write and are applied", solo_prepare, solo_act},
	{"a bundle is pushed", scripts_prepare, push},
	{"a procedure is called", call_prepare, call},
	{"the log is opened and appended to", log_prepare, log_append},
	{"a node starts, a client connects, a SET and a GET", cold_prepare, ask},
	{"a SET and a GET on a connection that is there", warm_prepare, ask},
	{"an EVAL", warm_prepare, eval},
};

/* ---- each in a child ---- */

enum end { END_DONE, END_WENT_ON, END_ORDERED, END_BAD };

static void child(const struct story *story, uint64_t n)
{
	alarm(PATIENCE_S);
	story->prepare();
	__atomic_store_n(&until, n, __ATOMIC_RELAXED);
	bool right = story->act();
	bool reached = __atomic_exchange_n(&until, 0, __ATOMIC_RELAXED) == 0;
	_exit(!right ? 3 : reached ? 0 : 77);
}

static enum end judge(int status, const char *said)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		return END_DONE;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		return END_WENT_ON;
	}
	/* The address sanitizer has a word in front of it about the simulator's stacks, memcheck one about
	 * RocksDB's hints. */
	bool preface = strstr(said, "makecontext") != NULL || strstr(said, "unimplemented fcntl") != NULL;
	const char *line = preface ? strstr(said, "fatal: ") : said;
	const char *line_end = line == NULL ? NULL : strchr(line, '\n');
	bool one_line = line_end != NULL && line_end[1] == '\0';
	bool found = strstr(said, "ERROR") != NULL || strstr(said, "==    at 0x") != NULL;
	bool ordered = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && one_line &&
		       strncmp(line, "fatal: out of memory", 20) == 0 && !found;
	return ordered ? END_ORDERED : END_BAD;
}

static enum end run(const struct story *story, uint64_t n)
{
	int out[2];
	if (pipe(out) != 0) {
		fatal("no pipe");
	}
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out[1], 2);
		close(out[0]);
		close(out[1]);
		tap_forked();
		child(story, n);
	}
	close(out[1]);
	char said[4096];
	size_t len = 0;
	ssize_t got;
	while (len + 1 < sizeof(said) && (got = read(out[0], said + len, sizeof(said) - 1 - len)) > 0) {
		len += (size_t)got;
	}
	said[len] = '\0';
	close(out[0]);
	int status = 0;
	waitpid(pid, &status, 0);
	enum end end = judge(status, said);
	if (end == END_BAD) {
		tap_note("%s, allocation %llu: status %x: %s", story->name, (unsigned long long)n,
			 (unsigned)status, said);
	}
	return end;
}

/* 1: each allocation in its turn. */
static uint64_t stride(void)
{
	const char *text = getenv("TALLY_TEST_STRIDE");
	uint64_t step = text != NULL ? strtoull(text, NULL, 10) : 1;
	return step > 0 ? step : 1;
}

int main(void)
{
	uint64_t step = stride();
	tap_dir(); /* what its children leave goes with it */
	for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
		unsigned counts[4] = {0};
		uint64_t n = 1;
		enum end end;
		while (n < ENOUGH && counts[END_BAD] < BAD_MAX && (end = run(&stories[i], n)) != END_DONE) {
			counts[end]++;
			n += step;
		}
		tap_note("%s: %u of some %u allocations failed, %u ended the process in order",
			 stories[i].name, (unsigned)((n - 1) / step), (unsigned)n - 1, counts[END_ORDERED]);
		ok(counts[END_BAD] == 0 && n < ENOUGH && counts[END_ORDERED] > 0,
		   "%s: whichever allocation fails, the process ends with the one line, or goes on rightly",
		   stories[i].name);
	}
	return tap_done();
}
