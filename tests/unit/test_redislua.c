/* EVAL and FUNCTION, case by case as Redis 7.0.15 answered them: redislua.cases has scripts and replies.
 *
 *   = name           begins a case; "= reset" empties the database, "= budget" …
 *   | text           one more line of the script (CMD: one word of a command a line, with escapes)
 *   > reply          what Redis says, with \r \n \\ \xNN; "> ~text": a reply that has text in it
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "script/host.h"
#include "script/lua_redis.h"
#include "tests/lib/tap.h"
#include "tests/unit/script_world.h"
#include "wire/resp.h"

/* ---- a shard in small ---- */

/* As engine does it: one transaction, taken back when the request was refused. Returns the status. */
static int run(struct world *w, const struct slice *argv, size_t argc, int protocol)
{
	arena_reset(&w->arena);
	buf_reset(&w->reply);
	w->protocol = protocol;
	w->random++;
	struct txn *txn = txn_begin(w->overlay, &w->arena);
	int status = world_command(w, txn, argv, argc);
	if (status == 0) {
		txn_commit(txn);
	} else {
		txn_abort(txn);
	}
	return status;
}

#define WORDS_MAX 16
static int run_words(struct world *w, const char *const *words, int protocol)
{
	struct slice argv[WORDS_MAX];
	size_t argc = 0;
	for (; words[argc] != NULL; argc++) {
		argv[argc] = slice_str(words[argc]);
	}
	return run(w, argv, argc, protocol);
}
#define RUN(w, ...) run_words((w), (const char *const[]){__VA_ARGS__, NULL}, 2)

static bool replied(const struct world *w, const char *want)
{
	bool same = slice_equal(buf_slice(&w->reply), slice_str(want));
	if (!same) {
		tap_note("got: %.*s", (int)w->reply.len, (const char *)w->reply.data);
	}
	return same;
}

static bool reply_has(struct world *w, const char *text)
{
	buf_append_byte(&w->reply, 0);
	w->reply.len--;
	bool has = w->reply.len > 0 && strstr((const char *)w->reply.data, text) != NULL;
	if (!has) {
		tap_note("got: %.*s", (int)w->reply.len, (const char *)w->reply.data);
	}
	return has;
}

/* ---- the cases ---- */

struct one_case {
	char name[200], script[8192], want[16384];
};

static int hex(char c)
{
	return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

static void unescape(const char *text, char *out, size_t *len)
{
	size_t n = 0;
	for (; *text != '\0' && *text != '\n'; text++) {
		if (*text != '\\') {
			out[n++] = *text;
			continue;
		}
		switch (*++text) {
		case 'r':
			out[n++] = '\r';
			break;
		case 'n':
			out[n++] = '\n';
			break;
		case 'x':
			out[n++] = (char)(hex(text[1]) << 4 | hex(text[2]));
			text += 2;
			break;
		default:
			out[n++] = *text;
			break;
		}
	}
	*len = n;
}

static void run_case(struct world *w, const struct one_case *c)
{
	struct slice argv[WORDS_MAX];
	size_t argc = 0;
	if (strncmp(c->script, "CMD\n", 4) == 0) {
		static char words[WORDS_MAX][4096];
		for (const char *at = c->script + 4; *at != '\0' && argc < WORDS_MAX; argc++) {
			const char *end = strchr(at, '\n');
			unescape(at, words[argc], &argv[argc].len);
			argv[argc].data = (const uint8_t *)words[argc];
			at += end == NULL ? strlen(at) : (size_t)(end - at) + 1;
		}
	} else {
		argv[argc++] = SLICE_LIT("EVAL");
		argv[argc++] = slice_str(c->script);
		argv[argc++] = SLICE_LIT("1");
		argv[argc++] = SLICE_LIT("k1");
		argv[argc++] = SLICE_LIT("a1");
		argv[argc++] = SLICE_LIT("a2");
	}
	run(w, argv, argc, 2);
	static char want[16384];
	size_t len;
	unescape(c->want[0] == '~' ? c->want + 1 : c->want, want, &len);
	want[len] = '\0';
	if (c->want[0] == '~') {
		ok(reply_has(w, want), "%s", c->name);
	} else {
		is_bytes(w->reply.data, w->reply.len, want, len, "%s", c->name);
	}
}

static void test_cases(struct world *w)
{
	char path[4096];
	const char *src = getenv("TALLY_SRC");
	snprintf(path, sizeof(path), "%s/tests/unit/redislua.cases", src == NULL ? ".." : src);
	FILE *file = fopen(path, "r");
	if (!ok(file != NULL, "the cases are there")) {
		return;
	}
	static struct one_case c;
	static char line[16384];
	size_t script_len = 0;
	RUN(w, "SET", "s", "str");
	RUN(w, "SET", "n", "10");
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '=') {
			snprintf(c.name, sizeof(c.name), "%.190s", line + 2);
			script_len = 0;
			c.script[0] = '\0';
		} else if (line[0] == '|') {
			script_len +=
				(size_t)snprintf(c.script + script_len, sizeof(c.script) - script_len, "%s%s",
						 script_len == 0 ? "" : "\n", line[1] ? line + 2 : "");
		} else if (line[0] == '>') {
			snprintf(c.want, sizeof(c.want), "%.16000s", line + 2);
			run_case(w, &c);
		}
	}
	fclose(file);
}

/* ---- what Redis does otherwise, or cannot do ---- */

static void test_all_or_nothing(struct world *w)
{
	RUN(w, "SET", "k", "before");
	is_int(RUN(w, "EVAL", "redis.call('set','k','after') error('boom')", "0"), ERR_DENIED,
	       "a script fails");
	RUN(w, "GET", "k");
	ok(replied(w, "$6\r\nbefore\r\n"), "and has written nothing");
	is_int(RUN(w, "EVAL", "redis.call('set','k','after') return redis.error_reply('no')", "0"),
	       ERR_DENIED, "so has one that returns an error");
	RUN(w, "GET", "k");
	ok(replied(w, "$6\r\nbefore\r\n"), "too");
	is_int(RUN(w, "EVAL", "redis.pcall('incr','k') redis.call('set','k','after') return 1", "0"), 0,
	       "one that catches an error goes on");
	RUN(w, "GET", "k");
	ok(replied(w, "$5\r\nafter\r\n"), "and writes");
}

/* One expression of so many jumps. */
static void run_jumps(struct world *w, size_t count)
{
	char *script = malloc(LIMIT_SCRIPT_SOURCE);
	size_t len = (size_t)sprintf(script, "local a local x = a ");
	for (size_t i = 0; i < count; i++) {
		len += (size_t)sprintf(script + len, "or a ");
	}
	sprintf(script + len, "return 1");
	RUN(w, "EVAL", script, "0");
	free(script);
}

static void test_budgets(struct world *w)
{
	run_jumps(w, 12000);
	ok(reply_has(w, "-BUDGET_EXCEEDED "), "a script that takes the compiler long is refused before it");
	run_jumps(w, 2000);
	ok(replied(w, ":1\r\n"), "one with two thousand `or` is not");
	is_int(RUN(w, "EVAL", "while true do end", "0"), ERR_DENIED, "a script without end is ended");
	ok(reply_has(w, "-BUDGET_EXCEEDED "), "and told why");
	RUN(w, "EVAL", "while true do pcall(function() while true do end end) end", "0");
	ok(reply_has(w, "-BUDGET_EXCEEDED "), "also behind pcall");
	RUN(w, "EVAL", "local t={} for i=1,1e9 do t[i]=('x'):rep(1000)..i end", "0");
	ok(reply_has(w, "_EXCEEDED "), "memory has an end");
	RUN(w, "EVAL", "return ('x'):rep(1e9)", "0");
	ok(reply_has(w, "-MEMORY_EXCEEDED "), "at once when it is too much");
	RUN(w, "EVAL", "while true do redis.call('get','nokey') end", "0");
	ok(reply_has(w, "-BUDGET_EXCEEDED "), "commands count");
	RUN(w, "EVAL",
	    "local s='' while true do s=s..'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' end",
	    "0");
	ok(reply_has(w, "_EXCEEDED "), "and so does joining texts");
	RUN(w, "EVAL", "local t={} t[1]=t return t", "0");
	ok(reply_has(w, "-ERR "), "a table in itself is an error");
	RUN(w, "EVAL", "return 'alive'", "0");
	ok(replied(w, "$5\r\nalive\r\n"), "after all that the next script runs");
}

/* What one command does beyond looking at a row or two. With enough rounds each of these held the loop until the
 * watchdog ended the node. */
static void test_long_commands(struct world *w)
{
	static const struct {
		const char *script, *sentence;
	} stories[] = {
		{"for i=1,1000 do redis.call('dbsize') end", "rows that are walked over count"},
		{"for i=1,1000 do redis.call('keys','*none') end", "whether they are answered or not"},
		{"for i=1,1000 do redis.call('scan','0','match','*none','count','1000') end", "in steps, too"},
		{"local t={} for i=1,1000 do t[i]='w'..i end for i=1,100 do redis.call('exists',unpack(t)) end",
		 "so does each key that a command looks for"},
		{"for i=1,1000 do redis.call('bitcount','bits') end", "each byte in which bits are counted"},
		{"for i=1,1000 do redis.call('bitpos','bits',1) end", "or looked for"},
		{"for i=1,100 do redis.call('bitop','xor','none','bits','bits','bits','bits','bits','bits','bits','bits') end",
		 "or combined"},
		{"for i=1,100 do redis.call('lcs','text','text','len') end", "and each cell of a table of LCS"},
	};
	RUN(w, "EVAL", "for i=1,1000 do redis.call('set','w'..i,'') end", "0");
	RUN(w, "SETRANGE", "bits", "300000", "x");
	RUN(w, "SETRANGE", "text", "1500", "x");
	for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
		RUN(w, "EVAL", stories[i].script, "0");
		ok(reply_has(w, "-BUDGET_EXCEEDED "), "%s", stories[i].sentence);
	}
	RUN(w, "EVAL", "for i=1,50 do redis.call('dbsize') redis.call('mget','w1','w2','w3') end return 1", "0");
	ok(replied(w, ":1\r\n"), "what is asked in measure runs");
	RUN(w, "FLUSHDB");
}

/* ---- asked to end ---- */

#define LATE 2
static uint64_t late;

static void watch_begin(void *owner, const struct script_identity *running)
{
	(void)owner;
	(void)running;
}

static void watch_end(void *owner)
{
	(void)owner;
}

static void watch(struct world *w)
{
	static const struct refused none;
	struct script_watch watch = {&none, &late, LATE, watch_begin, watch_end, NULL};
	script_host_watch(w->host, &watch);
}

static void is_late(struct world *w, const char *sentence)
{
	ok(reply_has(w, "-BUDGET_EXCEEDED {\"outcome\":\"refused\",\"reason\":\"the script used up its "
			"processor time, "),
	   "%s", sentence);
}

/* Whoever watches asks for the end of each of these calls before it begins. */
static void test_late(struct world *w)
{
	static char many[LIMIT_SCRIPT_SOURCE];
	size_t len = 0;
	while (len < 4000) {
		len += (size_t)sprintf(many + len, "do local a%zu = 1 end ", len);
	}
	RUN(w, "FUNCTION", "LOAD",
	    "#!lua name=late\nredis.register_function('spin', function() while true do end end)");
	late = LATE;
	RUN(w, "EVAL", "redis.call('set','k','v') while true do pcall(function() while true do end end) end",
	    "0");
	is_late(w, "a script ends when it is asked to, behind pcall as well");
	RUN(w, "FCALL", "spin", "0");
	is_late(w, "so does a function");
	RUN(w, "EVAL", "local f f=function() while true do xpcall(f, f) end end coroutine.wrap(f)()", "0");
	is_late(w, "in a coroutine, too");
	RUN(w, "EVAL", "return #cmsgpack.unpack(cmsgpack.pack({1,2,3}))", "0");
	is_late(w, "a function of ours that charges steps looks");
	RUN(w, "SCRIPT", "LOAD", many);
	is_late(w, "so does the compiler, between two pieces of a text");
	late = 0;
	RUN(w, "SCRIPT", "LOAD", many);
	ok(reply_has(w, "$40\r\n"), "the same text compiles when nobody asks");
	RUN(w, "GET", "k");
	ok(replied(w, "$-1\r\n"), "nothing was written");
	RUN(w, "FUNCTION", "FLUSH");
}

static void test_cache(struct world *w)
{
	RUN(w, "SCRIPT", "LOAD", "return 1");
	ok(replied(w, "$40\r\ne0e1f9fabfc9d4800c877a703b823ac0578ff8db\r\n"),
	   "a script is loaded under its SHA-1");
	RUN(w, "EVALSHA", "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", "0");
	ok(replied(w, ":1\r\n"), "it runs under that name, in any case");
	RUN(w, "SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "ffff");
	ok(replied(w, "*2\r\n:1\r\n:0\r\n"), "it exists, another does not");
	for (int i = 0; i < LIMIT_SCRIPTS_CACHED + 10; i++) {
		char script[40];
		snprintf(script, sizeof(script), "return %d", i + 100);
		RUN(w, "EVAL", script, "0");
	}
	struct script_stats stats;
	script_stats(w->host, &stats);
	is_int(stats.scripts_cached, LIMIT_SCRIPTS_CACHED, "the cache has a bound");
	RUN(w, "SCRIPT", "FLUSH");
	ok(replied(w, "+OK\r\n"), "the cache is flushed");
	RUN(w, "EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0");
	ok(reply_has(w, "-NOSCRIPT "), "and the script unknown");
	static char big[LIMIT_SCRIPT_SOURCE + 2];
	memset(big, ' ', sizeof(big) - 1);
	RUN(w, "EVAL", big, "0");
	ok(reply_has(w, "-TOO_LARGE "), "a script has a bound");
}

static void test_time_and_chance(struct world *w)
{
	RUN(w, "EVAL", "local t=redis.call('time') return t[1]..'.'..t[2]", "0");
	ok(replied(w, "$17\r\n1700000000.123000\r\n"), "time is the transaction's");
	RUN(w, "EVAL",
	    "local r=math.random() return r>=0 and r<1 and math.random(5)<=5 and math.random(3,4)>=3", "0");
	ok(replied(w, ":1\r\n"), "chance keeps its bounds");
	RUN(w, "EVAL", "return tostring(math.random())", "0");
	char first[100];
	snprintf(first, sizeof(first), "%.*s", (int)w->reply.len, (const char *)w->reply.data);
	RUN(w, "EVAL", "return tostring(math.random())", "0");
	ok(!slice_equal(buf_slice(&w->reply), slice_str(first)), "and differs from call to call");
}

static void test_long_pattern(struct world *w)
{
	char pattern[2052];
	memset(pattern, 'b', sizeof pattern - 1);
	pattern[sizeof pattern - 1] = '\0';
	is_int(RUN(w, "FUNCTION", "LIST", "LIBRARYNAME", pattern + 3), 0, "libraries are listed by a pattern of 2 KiB");
	is_int(RUN(w, "FUNCTION", "LIST", "LIBRARYNAME", pattern), ERR_DENIED, "a longer one");
	ok(reply_has(w, "-TOO_LARGE "), "is refused");
}

static void test_functions(struct world *w)
{
	RUN(w, "FUNCTION", "LOAD",
	    "#!lua name=shop\nredis.register_function('stock', function(k) return redis.call('get', k[1]) "
	    "end)");
	ok(replied(w, "$4\r\nshop\r\n"), "a library is loaded");
	RUN(w, "SET", "k", "7");
	RUN(w, "FCALL", "stock", "1", "k");
	ok(replied(w, "$1\r\n7\r\n"), "its function is called");
	script_host_free(w->host);
	w->host = script_host_new(NULL);
	RUN(w, "FCALL", "stock", "1", "k");
	ok(replied(w, "$1\r\n7\r\n"), "and on another node as well: libraries are rows");
	RUN(w, "FUNCTION", "DUMP");
	static char payload[4096];
	const uint8_t *body = (const uint8_t *)memchr(w->reply.data, '\n', w->reply.len) + 1;
	size_t len = w->reply.len - (size_t)(body - w->reply.data) - 2;
	memcpy(payload, body, len);
	RUN(w, "FUNCTION", "FLUSH");
	RUN(w, "FCALL", "stock", "1", "k");
	ok(reply_has(w, "-ERR Function not found"), "after a flush it is gone");
	const struct slice restore[] = {SLICE_LIT("FUNCTION"), SLICE_LIT("RESTORE"), slice_of(payload, len)};
	is_int(run(w, restore, 3, 2), 0, "a dump is restored");
	RUN(w, "FCALL", "stock", "1", "k");
	ok(replied(w, "$1\r\n7\r\n"), "and it is back");
	size_t refused = 0;
	for (size_t i = 0; i < len; i++) {
		payload[i] ^= 1;
		const struct slice damaged[] = {SLICE_LIT("FUNCTION"), SLICE_LIT("RESTORE"),
						slice_of(payload, len), SLICE_LIT("REPLACE")};
		refused += run(w, damaged, 4, 2) == ERR_DENIED;
		payload[i] ^= 1;
	}
	is_int(refused, len, "a damaged dump is refused");
}

/* ---- what Redis paid for: the CVEs of its Lua ---- */

static bool is_one_reply(const struct world *w)
{
	size_t used = 0;
	return resp_reply_measure(buf_slice(&w->reply), MIB(16), &used) == 0 && used == w->reply.len;
}

/* The script is refused, or answers; either way with one whole reply, and we live. */
static void survives(struct world *w, const char *cve, const char *script)
{
	RUN(w, "EVAL", script, "0");
	ok(is_one_reply(w), "%s: %.60s", cve, script);
}

static void is_absent(struct world *w, const char *cve, const char *name)
{
	char script[200];
	snprintf(script, sizeof(script), "local v = %s; return type(v)", name);
	RUN(w, "EVAL", script, "0");
	bool nil = slice_equal(buf_slice(&w->reply), SLICE_LIT("$3\r\nnil\r\n"));
	ok(nil || reply_has(w, "nonexistent global"), "%s: %s is not there", cve, name);
}

/* Every global, byte for byte: a new one must be looked at before it is let in. */
static void test_globals(struct world *w)
{
	static const char want[] = "_G _VERSION assert bit cjson cmsgpack coroutine error getmetatable "
				   "ipairs math next pairs pcall rawequal "
				   "rawget rawset redis select setmetatable string struct table tonumber "
				   "tostring type unpack xpcall";
	RUN(w, "FUNCTION", "STATS");
	RUN(w, "EVAL", "return 1", "0");
	struct redis_machine *m = w->host->redis;
	lua_State *L = m->budget.state;
	lua_rawgeti(L, LUA_REGISTRYINDEX, m->globals_ref);
	const char *names[200];
	size_t count = 0, len = 0;
	lua_pushnil(L);
	while (lua_next(L, -2) != 0 && count < 200) {
		lua_pop(L, 1);
		const char *name = lua_tostring(L, -1);
		if (strcmp(name, "KEYS") != 0 && strcmp(name, "ARGV") != 0) {
			size_t at = count++;
			for (; at > 0 && strcmp(names[at - 1], name) > 0; at--) {
				names[at] = names[at - 1];
			}
			names[at] = name;
		}
	}
	char got[2000];
	for (size_t i = 0; i < count; i++) {
		len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%s", i == 0 ? "" : " ", names[i]);
	}
	lua_settop(L, 0);
	is_str(got, want, "CVE-2022-0543: the globals are these and no others");
}

static void test_cves(struct world *w)
{
	is_absent(w, "CVE-2015-4335", "loadstring");
	is_absent(w, "CVE-2015-4335", "load");
	is_absent(w, "CVE-2015-4335", "string.dump");
	is_absent(w, "CVE-2021-32672", "debug");
	is_absent(w, "CVE-2022-0543", "package");
	is_absent(w, "CVE-2022-0543", "require");
	is_absent(w, "CVE-2024-46981", "collectgarbage");
	survives(w, "CVE-2015-8080", "return struct.pack('i2147483648', 1)");
	survives(w, "CVE-2015-8080", "return struct.pack('>!2147483648i8', 1)");
	survives(w, "CVE-2020-14147", "return {struct.unpack('c4294967295', 'x')}");
	survives(w, "CVE-2020-14147", "return {struct.unpack('>I4c0', '\\255\\255\\255\\255x')}");
	survives(w, "CVE-2020-14147", "return struct.size(string.rep('c1000000', 5000))");
	survives(w, "CVE-2018-11218", "local t={} for i=1,100000 do t={t} end return #cmsgpack.pack(t)");
	survives(w, "CVE-2018-11218", "return cmsgpack.unpack(string.rep('\\145', 1000000))");
	survives(w, "CVE-2018-11218", "return cmsgpack.unpack('\\221\\255\\255\\255\\255')");
	survives(w, "CVE-2021-32626", "return #{cmsgpack.unpack(string.rep('\\1', 1000000))}");
	survives(w, "CVE-2021-32626",
		 "return {struct.unpack(string.rep('b', 1000000), string.rep('x', 1000000))}");
	survives(w, "CVE-2021-32626",
		 "local t={} for i=1,7000 do t[i]='x' end return redis.call('mget',unpack(t))");
	survives(w, "CVE-2022-24735", "string.rep = nil");
	survives(w, "CVE-2022-24735", "getmetatable('').__index = function() return 'mine' end");
	survives(w, "CVE-2022-24735", "rawset(string, 'rep', nil)");
	survives(w, "CVE-2022-24735", "setmetatable(redis, {})");
	RUN(w, "EVAL", "return ('a'):rep(2)", "0");
	ok(replied(w, "$2\r\naa\r\n"), "CVE-2022-24735: and string.rep is still what it was");
	survives(w, "CVE-2022-24834", "return #cjson.encode(string.rep('\\1', 900000))");
	survives(w, "CVE-2022-24834", "return #cmsgpack.pack(string.rep(string.rep('x', 1000), 900))");
	survives(w, "CVE-2022-24834", "return cjson.decode(string.rep('[', 500000))");
	survives(w, "CVE-2024-31228",
		 "return string.find(string.rep('a', 100000), string.rep('a-', 2000)..'b')");
	survives(w, "CVE-2022-36021", "return string.match(string.rep('a', 5000), '.-.-.-.-.-.-.-b')");
	survives(w, "CVE-2024-31449", "return bit.tohex(65535, -2147483648)");
	survives(w, "CVE-2024-46981", "setmetatable({}, {__gc = function() end})");
	survives(w, "CVE-2025-46817", "return unpack({}, -2147483648, 2147483647)");
	survives(w, "CVE-2025-46817", "return unpack({}, 0, 2147483647)");
	survives(w, "CVE-2025-46817", "return {unpack({1}, -9223372036854775807, 9223372036854775807)}");
	survives(w, "CVE-2025-46818", "getmetatable(1).__index = 1");
	survives(w, "CVE-2025-46818", "setmetatable('', {})");
	survives(w, "CVE-2025-46819", "return [====[ never closed");
	survives(w, "CVE-2025-46819", "return [=");
	survives(w, "CVE-2025-46819", "--[==[");
	survives(w, "CVE-2025-46819", "return '\\");
	survives(w, "CVE-2025-46819", "return \"\\65535\"");
	survives(w, "CVE-2025-49844", "return _TALLY_JOIN_ << _TALLY_JOIN_");
	survives(w, "a box on the right", "local box = nil << _TALLY_JOIN_ return 1 << box");
}

/* CVE-2022-24736: whatever is in the source, there is one whole reply. */
static void test_garbage(struct world *w)
{
	static const char *const seeds[] = {
		"local t={} for i=1,10 do t[i]='x'..i end return t",
		"local a,b=redis.call('get',KEYS[1]),ARGV[1] if a then return a..b else return {1,2,{3}} end",
		"return cjson.encode({a={1,2.5,'x'},b=cjson.decode('[1,{\"c\":null}]')})",
		"return {pcall(function(...) return select('#',...) end,1,2,3)}",
		"local s=[==[long ]] text]==] --[[ comment ]] return #s .. '\\065\\n'",
		"return cmsgpack.unpack(cmsgpack.pack({1,'a',{b=2}}))",
		"return struct.pack('>I4c0s',1,'ab','cd')",
	};
	struct prng prng;
	prng_init(&prng, 7);
	size_t whole = 0, runs = 3000;
	for (size_t i = 0; i < runs; i++) {
		char script[200];
		snprintf(script, sizeof(script), "%s",
			 seeds[prng_below(&prng, sizeof(seeds) / sizeof(seeds[0]))]);
		size_t len = strlen(script);
		for (uint64_t n = 1 + prng_below(&prng, 4); n > 0; n--) {
			static const char likely[] = "'\"[](){}=.,;:+-*/%^#<>~\\0129azeE_\n ";
			size_t at = prng_below(&prng, len);
			script[at] = prng_chance(&prng, 2, 3) ? likely[prng_below(&prng, sizeof(likely) - 1)]
							      : (char)(1 + prng_below(&prng, 255));
		}
		RUN(w, "EVAL", script, "1", "k", "v");
		whole += is_one_reply(w);
	}
	is_int(whole, runs, "CVE-2022-24736: every spoiled script has one whole reply");
}

static void test_resp3(struct world *w)
{
	static const struct {
		const char *script, *want;
	} cases[] = {
		{"return nil", "_\r\n"},
		{"return false", "_\r\n"},
		{"return true", ":1\r\n"},
		{"redis.setresp(3) return true", "#t\r\n"},
		{"redis.setresp(3) return redis.call('get','nokey')", "_\r\n"},
		{"return {double=2.5}", ",2.5\r\n"},
		{"return {map={a=1}}", "%1\r\n$1\r\na\r\n:1\r\n"},
		{"return {set={a=true}}", "~1\r\n$1\r\na\r\n"},
		{"return {big_number='123'}", "(123\r\n"},
		{"return {verbatim_string={string='x',format='txt'}}", "=5\r\ntxt:x\r\n"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run_words(w, (const char *const[]){"EVAL", cases[i].script, "0", NULL}, 3);
		ok(replied(w, cases[i].want), "in RESP3: %s", cases[i].script);
	}
}

int main(void)
{
	struct world w;
	world_open(&w);
	watch(&w);
	w.reply.max = MIB(8);
	w.now_ms = 1700000000123;
	world_apply(&w);
	test_cases(&w);
	test_all_or_nothing(&w);
	test_budgets(&w);
	test_long_commands(&w);
	test_late(&w);
	test_cache(&w);
	test_time_and_chance(&w);
	test_long_pattern(&w);
	test_functions(&w);
	test_globals(&w);
	test_cves(&w);
	test_garbage(&w);
	test_resp3(&w);
	world_close(&w);
	return tap_done();
}
