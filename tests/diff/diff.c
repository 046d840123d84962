/* Plays lines of commands against Debian's redis-server and against us, and
 * compares the bytes of the replies, in RESP2 and in RESP3.
 *
 *   diff [--address HOST:PORT] [--random COUNT SEED] FILE.cases …
 *
 * Without an address the commands run in this process, on a store in memory, and cases
 * marked [server] are left out. A file of cases:
 *
 *   # a comment
 *   = name of a case [server] [resp2]  all data gone, new connections
 *   SET k "a b\n"                      words as in redis-cli: the replies must be the same bytes
 *   ~ KEYS *                           … but for the order inside arrays
 *   % TTL k                            … but for integers, which may differ by 3000
 *   ? TIME                             only the shapes are the same
 *   @2 GET k                           on the second connection (behind the marks above)
 *   raw "*1\r\n$x\r\n"                 bytes as they are, and one reply
 *   read                               one more reply without asking
 *   sleep 30                           milliseconds */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/prng.h"
#include "tests/diff/random.h"
#include "tests/diff/side.h"
#include "tests/lib/tap.h"
#include "wire/resp.h"

#define OUT_MAX MIB(16)

enum how { SAME, ANY_ORDER, ABOUT, SHAPE };

struct player {
	struct side *redis, *tally;
	int protocol;
	bool skip;       /* the case is not for this side or protocol */
	char name[128];  /* of the case */
	struct arena arena;
	struct buf want, got;
	size_t lines;
	bool quiet;      /* random lines: only a difference is told */
	size_t different;
};

/* ---- comparing ---- */

static int compare_slices(const void *a, const void *b)
{
	return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* The reply with everything inside arrays in order, or (SHAPE) with types only. */
static struct slice canonical(struct arena *arena, const struct resp_value *value, enum how how)
{
	size_t items = value->count * (value->type == RESP_MAP ? 2 : 1);
	struct slice *parts = arena_alloc(arena, (items + 1) * sizeof(*parts));
	struct buf text;
	struct slice kept;

	buf_init(&text, OUT_MAX);
	buf_appendf(&text, "%d ", (int)value->type);
	if (how != SHAPE) {
		buf_appendf(&text, "%lld '", (long long)value->integer);
		buf_append_slice(&text, value->text);
		buf_appendf(&text, "' ");
	}
	for (size_t i = 0; i < items; i++) {
		parts[i] = canonical(arena, &value->items[i], how);
	}
	if (how == ANY_ORDER) {
		qsort(parts, items, sizeof(*parts), compare_slices);
	}
	for (size_t i = 0; i < items; i++) {
		buf_appendf(&text, "(");
		buf_append_slice(&text, parts[i]);
		buf_appendf(&text, ")");
	}
	kept = arena_copy(arena, buf_slice(&text));
	buf_fini(&text);
	return kept;
}

static bool agree(struct player *player, enum how how)
{
	struct resp_value want, got;
	size_t used;

	if (slice_equal(buf_slice(&player->want), buf_slice(&player->got))) {
		return true;
	}
	if (how == SAME || resp_reply_parse(buf_slice(&player->want), &player->arena, &want, &used) != 0 ||
	    resp_reply_parse(buf_slice(&player->got), &player->arena, &got, &used) != 0) {
		return false;
	}
	if (how == ABOUT) {
		int64_t apart = want.integer - got.integer;
		return want.type == RESP_INTEGER && got.type == RESP_INTEGER && apart >= -3000 && apart <= 3000;
	}
	return slice_equal(canonical(&player->arena, &want, how), canonical(&player->arena, &got, how));
}

/* At most so many bytes of a reply in a note, in one line. */
#define SHOWN_MAX 400

static void note_reply(const char *name, const struct buf *reply)
{
	char text[SHOWN_MAX * 4 + 8];
	size_t used = 0;

	for (size_t i = 0; i < reply->len && i < SHOWN_MAX; i++) {
		uint8_t c = reply->data[i];
		used += (size_t)snprintf(text + used, sizeof(text) - used, c == '\r' ? "\\r" : c == '\n' ? "\\n"
		                         : isprint(c) ? "%c" : "\\x%02x", c);
	}
	text[used] = '\0';
	tap_note("%6s: %s%s", name, text, reply->len > SHOWN_MAX ? " …" : "");
}

static void judge(struct player *player, enum how how, const char *line)
{
	bool same = agree(player, how);

	player->different += !same;
	if (!(player->quiet && same) && !ok(same, "RESP%d %s: %s", player->protocol, player->name, line)) {
		note_reply(player->redis->name, &player->want);
		note_reply(player->tally->name, &player->got);
	}
	player->lines++;
	buf_reset(&player->want);
	buf_reset(&player->got);
}

/* ---- playing ---- */

/* A line's words; false when there are none. */
static bool words_of(struct player *player, const char *line, struct slice **argv, size_t *argc)
{
	struct resp_request_state state;
	struct err err;
	struct buf input;
	size_t used;
	int rc;

	buf_init(&input, OUT_MAX);
	buf_appendf(&input, "%s\n", line);
	resp_request_init(&state);
	rc = resp_request_parse(&state, arena_copy(&player->arena, buf_slice(&input)), &player->arena, argv, argc, &used,
	                        &err);
	resp_request_fini(&state);
	buf_fini(&input);
	if (rc != 0) {
		fatal("a line of a case has unbalanced quotes: %s", line);
	}
	return *argc > 0;
}

static void begin_case(struct player *player, const char *line)
{
	bool server = strstr(line, "[server]") != NULL;

	snprintf(player->name, sizeof(player->name), "%s", line + 1 + strspn(line + 1, " "));
	player->skip = (server && player->tally->solo != NULL) ||
	               (player->protocol == 3 && strstr(line, "[resp2]") != NULL);
	if (player->skip) {
		return;
	}
	side_reset(player->redis, player->protocol);
	side_reset(player->tally, player->protocol);
}

static const char *marks(const char *line, enum how *how, unsigned *conn)
{
	*how = SAME;
	*conn = 0;
	if (line[0] == '~' || line[0] == '%' || line[0] == '?') {
		*how = line[0] == '~' ? ANY_ORDER : line[0] == '%' ? ABOUT : SHAPE;
		line += 1 + strspn(line + 1, " ");
	}
	if (line[0] == '@' && isdigit((unsigned char)line[1])) {
		*conn = (unsigned)(line[1] - '1') % SIDE_CONNS;
		line += 2 + strspn(line + 2, " ");
	}
	return line;
}

static void play_line(struct player *player, const char *line)
{
	struct slice *argv;
	size_t argc;
	enum how how;
	unsigned conn;
	const char *words = marks(line, &how, &conn);

	if (!words_of(player, words, &argv, &argc)) {
		return;
	}
	if (strncmp(words, "sleep ", 6) == 0) {
		side_sleep(player->redis, (unsigned)atoi(words + 6));
		return;
	}
	if (strncmp(words, "raw ", 4) == 0) {
		side_raw(player->redis, conn, argv[1], &player->want);
		side_raw(player->tally, conn, argv[1], &player->got);
	} else if (strcmp(words, "read") == 0) {
		side_read(player->redis, conn, &player->want);
		side_read(player->tally, conn, &player->got);
	} else {
		side_run(player->redis, conn, argv, argc, &player->want);
		side_run(player->tally, conn, argv, argc, &player->got);
	}
	judge(player, how, line);
}

static void play_file(struct player *player, const char *text)
{
	static char line[16384];

	player->skip = true;
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		text += len + (text[len] == '\n');
		if (line[0] == '#' || line[0] == '\0') {
			continue;
		}
		if (line[0] == '=') {
			begin_case(player, line);
		} else if (!player->skip) {
			play_line(player, line);
			arena_reset(&player->arena);
		}
	}
}

/* Lines nobody wrote, over a few keys, in cases of 200 so that a difference does not hide the next ones. */
static void play_random(struct player *player, uint64_t count, uint64_t seed)
{
	struct prng prng;

	prng_init(&prng, seed);
	player->quiet = true;
	player->different = 0;
	for (uint64_t i = 0; i < count; i++) {
		if (i % 200 == 0) {
			player->protocol = 2 + (int)(i / 200 % 2);
			begin_case(player, "= random");
		}
		play_line(player, random_line(&prng, &player->arena));
		arena_reset(&player->arena);
	}
	player->quiet = false;
	ok(player->different == 0, "%llu random lines of seed %llu get the same replies", (unsigned long long)count,
	   (unsigned long long)seed);
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	struct buf text;
	int c;

	if (file == NULL) {
		fatal("cannot open %s", path);
	}
	buf_init(&text, OUT_MAX);
	while ((c = getc(file)) != EOF) {
		buf_append_byte(&text, (uint8_t)c);
	}
	buf_append_byte(&text, '\0');
	fclose(file);
	return (char *)text.data;
}

static void play(struct side *redis, struct side *tally, char *const *texts, size_t count, const uint64_t random[2])
{
	struct player player = {.redis = redis, .tally = tally};

	arena_init(&player.arena, KIB(64));
	buf_init(&player.want, OUT_MAX);
	buf_init(&player.got, OUT_MAX);
	for (int protocol = 2; protocol <= 3; protocol++) {
		player.protocol = protocol;
		for (size_t i = 0; i < count; i++) {
			play_file(&player, texts[i]);
		}
	}
	if (random[0] > 0) {
		play_random(&player, random[0], random[1]);
	}
	tap_note("%zu replies compared", player.lines);
	arena_fini(&player.arena);
	buf_fini(&player.want);
	buf_fini(&player.got);
}

int main(int argc, char **argv)
{
	char *texts[32], host[64] = "";
	struct side redis, tally;
	struct solo solo;
	size_t count = 0;
	uint64_t random[2] = {0, 0}; /* count, seed */
	int port = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--address") == 0 && i + 1 < argc) {
			if (sscanf(argv[++i], "%63[^:]:%d", host, &port) != 2) {
				fatal("--address HOST:PORT");
			}
		} else if (strcmp(argv[i], "--random") == 0 && i + 2 < argc) {
			random[0] = strtoull(argv[++i], NULL, 10);
			random[1] = strtoull(argv[++i], NULL, 10);
		} else if (count < sizeof(texts) / sizeof(texts[0])) {
			texts[count++] = read_file(argv[i]);
		}
	}
	if (chdir(tap_dir()) != 0) {
		fatal("no directory for redis-server");
	}
	if (!side_start_redis(&redis)) {
		tap_skip("redis-server cannot be started (is it installed?)");
		return tap_done();
	}
	if (port != 0) {
		side_use_address(&tally, host, port);
		play(&redis, &tally, texts, count, random);
	} else {
		solo_open(&solo);
		side_use_solo(&tally, &solo);
		play(&redis, &tally, texts, count, random);
		solo_close(&solo);
	}
	side_stop(&tally);
	side_stop(&redis);
	for (size_t i = 0; i < count; i++) {
		free(texts[i]);
	}
	if (chdir("/") != 0) {
		tap_note("cannot leave the directory");
	}
	return tap_done();
}
