#include "script/budget.h"

#include <assert.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "base/err.h"
#include "base/limits.h"

/* The hook looks about every so many steps, and each time at the same distance until it has looked so often:
 * code that repeats at one distance, and does its dear work between two looks, would meet another soon. Lua
 * walks the whole stack of calls when a distance is set. */
#define HOOK_STEPS 1000
#define HOOK_LOOKS 32
#define SLAB_BYTES KIB(32)
#define SMALL_MAX (16 * (BUDGET_CLASSES - 1))
/* Garbage that gathers before a collection between calls: about what the second-level cache holds. */
#define GARBAGE_BYTES KIB(256)
/* Empty places of a table that are passed over in the time of a step; nodes in one that grows; and nodes that
 * are looked at beforehand. */
#define PLACES_A_STEP 8
#define PASSED_A_STEP 6
#define LOOKED_A_STEP 4
/* Strings from here on make VM instructions slow (comparison is linear): they are counted, and dearer. */
#define LONG_STRING KIB(2)
/* From here on an instruction takes so long that the hook looks more often. */
#define SLOW_STRING MIB(1)
/* An instruction may copy all that stands behind `...`: looked for in pieces of so many values, and so many
 * are copied in the time of a step. */
#define VARARGS_STEP 64
#define VARARGS_A_STEP 16
/* Of a block that moves Lua does not tell what it is for. */
#define KIND_MOVED SIZE_MAX
/* A refused allocation makes Lua collect everything before it tries again. */
#define REFUSAL_STEPS 1000000

struct budget_block {
	struct budget_block *next;
};
struct budget_slab {
	struct budget_slab *next;
	uint8_t bytes[] __attribute__((aligned(16)));
};

/* ---- the hook ---- */

/* What stands behind `...` in the running function, about. */
static size_t count_varargs(lua_State *L, const lua_Debug *where)
{
	int count = 0;
	while (lua_getlocal(L, where, -(count + VARARGS_STEP)) != NULL) {
		lua_pop(L, 1);
		count += VARARGS_STEP;
	}
	return (size_t)count;
}

static int hook_distance(struct budget *b)
{
	uint64_t steps = HOOK_STEPS / (1 + b->longest / SLOW_STRING);
	return (int)(steps / 2 + prng_below(&b->shifts, steps));
}

static void count_hook(lua_State *L, lua_Debug *where)
{
	struct budget *b = budget_of(L);
	size_t each = 1 + b->longest / LONG_STRING + count_varargs(L, where) / VARARGS_A_STEP;
	b->left -= (int64_t)((size_t)lua_gethookcount(L) * each);
	if (b->left < 0 && b->active) {
		budget_spent(L);
	}
	budget_look(L);
	/* Armed for the very next instruction by an allocation that fitted after all. */
	if (lua_gethookcount(L) == 1 || ++b->looks % HOOK_LOOKS == 0) {
		lua_sethook(L, count_hook, LUA_MASKCOUNT, hook_distance(b));
	}
}

static void count_from_now(struct budget *b, int steps)
{
	if (b->active) {
		b->counting = true;
		lua_sethook(b->running, count_hook, LUA_MASKCOUNT, steps);
	}
}

/* ---- comparisons ---- */

/* Whose call runs on this thread. Lua compares two texts with strcoll, once for each NUL in them, and gives
 * it nothing else to find its owner by: `<` of 4 MiB of NULs is one instruction, and up to 40 ms. */
static _Thread_local struct budget *comparing;

/* Stands in for libc's in the whole program, whose locale is C. Whoever compares without a call pays nothing.
 */
int budget_collate(const char *a, const char *b) __asm__("strcoll") __attribute__((visibility("default")));

int budget_collate(const char *a, const char *b)
{
	struct budget *budget = comparing;
	if (budget != NULL && --budget->left == -1) {
		count_from_now(budget, 1);
	}
	return strcmp(a, b);
}

/* ---- the allocator ---- */

static unsigned class_of(size_t bytes)
{
	return (unsigned)((bytes + 15) / 16);
}

static bool grow(struct budget *b, size_t bytes)
{
	if (bytes > b->footprint_max - b->footprint) {
		b->left -= REFUSAL_STEPS;
		count_from_now(b, 1);
		return false;
	}
	b->footprint += bytes;
	return true;
}

static void *take_from_slab(struct budget *b, size_t rounded)
{
	if ((size_t)(b->slab_end - b->slab_next) < rounded) {
		if (!grow(b, sizeof(struct budget_slab) + SLAB_BYTES)) {
			return NULL;
		}
		struct budget_slab *slab = malloc(sizeof *slab + SLAB_BYTES);
		if (slab == NULL) {
			fatal("out of memory: a script's slab");
		}
		slab->next = b->slabs;
		b->slabs = slab;
		b->slab_next = slab->bytes;
		b->slab_end = slab->bytes + SLAB_BYTES;
	}
	void *block = b->slab_next;
	b->slab_next += rounded;
	return block;
}

static void *take_small(struct budget *b, size_t bytes)
{
	unsigned class = class_of(bytes);
	struct budget_block *block = b->free_blocks[class];
	if (block != NULL) {
		b->free_blocks[class] = block->next;
		return block;
	}
	return take_from_slab(b, (size_t) class * 16);
}

/* Before a table grows into a vector of so many bytes. False: the call has ended, and it must not. */
static bool charge_rehash(struct budget *b, size_t bytes)
{
	if (!b->active) {
		return true;
	}
	if (b->left >= 0) {
		size_t looked_at;
		uint64_t passed = nodes_passed(&b->nodes, bytes, &looked_at);
		b->left -= (int64_t)(passed / PASSED_A_STEP + looked_at / LOOKED_A_STEP);
	}
	if (b->left < 0 && b->end == BUDGET_OPEN) {
		b->end = BUDGET_STEPS; /* Lua knows of memory only */
	}
	return b->left >= 0;
}

/* kind is what Lua says it allocates for. */
static void *take_large(struct budget *b, size_t bytes, size_t kind)
{
	bool vector = kind == 0 && nodes_match(bytes);
	if ((vector && !charge_rehash(b, bytes)) || !grow(b, bytes)) {
		return NULL;
	}
	if (kind == LUA_TSTRING && bytes > LONG_STRING && bytes > b->longest) {
		bool slower = bytes / SLOW_STRING > b->longest / SLOW_STRING;
		b->longest = bytes;
		if (!b->counting || slower) {
			count_from_now(b, hook_distance(b));
		}
	}
	void *block = malloc(bytes);
	if (block == NULL) {
		fatal("out of memory: %zu bytes for a script", bytes);
	}
	if (vector) {
		nodes_add(&b->nodes, block, bytes);
	}
	return block;
}

static void *take(struct budget *b, size_t bytes, size_t kind)
{
	void *block = bytes <= SMALL_MAX ? take_small(b, bytes) : take_large(b, bytes, kind);
	if (block != NULL) {
		b->live += bytes;
		b->left -= (int64_t)(4 + bytes / 16);
		if (b->left < 0) {
			count_from_now(b, 1);
		}
	}
	return block;
}

static void give(struct budget *b, void *memory, size_t bytes)
{
	b->live -= bytes;
	if (bytes <= SMALL_MAX) {
		struct budget_block *block = memory;
		unsigned class = class_of(bytes);
		block->next = b->free_blocks[class];
		b->free_blocks[class] = block;
	} else {
		nodes_remove(&b->nodes, memory, bytes);
		b->footprint -= bytes;
		free(memory);
	}
}

/* lua_Alloc. Memory of the system gone is fatal, as everywhere; our own bound is an error of the script. */
static void *allocate(void *owner, void *old, size_t old_bytes, size_t bytes)
{
	struct budget *b = owner;
	if (old == NULL) {
		return bytes == 0 ? NULL : take(b, bytes, old_bytes);
	}
	if (bytes == 0) {
		if (old_bytes > 0) {
			give(b, old, old_bytes);
		}
		return NULL;
	}
	if (bytes <= SMALL_MAX && old_bytes <= SMALL_MAX && class_of(bytes) == class_of(old_bytes)) {
		b->live += bytes - old_bytes;
		return old;
	}
	void *fresh = take(b, bytes, KIND_MOVED);
	if (fresh == NULL) {
		/* Lua counts on shrinking never to fail. */
		return bytes <= old_bytes ? old : NULL;
	}
	memcpy(fresh, old, bytes < old_bytes ? bytes : old_bytes);
	give(b, old, old_bytes);
	return fresh;
}

/* ---- life ---- */

static int panic(lua_State *L)
{
	const char *text = lua_tostring(L, -1);
	fatal("a script raised outside of any protected call: %s", text == NULL ? "(no text)" : text);
}

/* Nobody watches. */
static const uint64_t never;

lua_State *budget_open(struct budget *b, size_t memory_max)
{
	assert(memory_max <= LIMIT_SCRIPT_MEMORY);
	*b = (struct budget){.footprint_max = memory_max, .late = &never};
	prng_init(&b->shifts, 1);
	lua_State *L = lua_newstate(allocate, b);
	if (L == NULL) {
		budget_close(b);
		return NULL;
	}
	*(struct budget **)lua_getextraspace(L) = b;
	b->state = b->running = L;
	lua_atpanic(L, panic);
	lua_gc(L, LUA_GCGEN, 0, 1000); /* old things are not looked at again for a call's garbage */
	lua_gc(L, LUA_GCSTOP);
	nodes_check_layout(L);
	return L;
}

void budget_close(struct budget *b)
{
	if (b->state != NULL) {
		lua_close(b->state);
	}
	while (b->slabs != NULL) {
		struct budget_slab *next = b->slabs->next;
		free(b->slabs);
		b->slabs = next;
	}
	*b = (struct budget){0};
}

void budget_settle(struct budget *b)
{
	assert(!b->active);
	lua_gc(b->state, LUA_GCCOLLECT);
	b->live_base = b->live_settled = b->live;
}

void budget_start(struct budget *b, int64_t steps, bool counted)
{
	assert(!b->active && b->state != NULL);
	b->left = b->granted = steps;
	b->end = BUDGET_OPEN;
	b->longest = 0;
	b->running = b->state;
	b->active = true;
	b->around = comparing;
	comparing = b;
	if (counted) {
		count_from_now(b, hook_distance(b));
	}
}

void budget_watch(struct budget *b, const uint64_t *late, uint64_t bits)
{
	assert(!b->active && late != NULL);
	b->late = late;
	b->late_bits = bits;
}

void budget_count(lua_State *L)
{
	struct budget *b = budget_of(L);
	if (!b->counting) {
		count_from_now(b, hook_distance(b));
	}
}

int64_t budget_stop(struct budget *b)
{
	assert(b->active && comparing == b);
	b->active = false;
	comparing = b->around;
	if (b->counting) {
		b->counting = false;
		lua_sethook(b->state, NULL, 0, 0);
	}
	return b->granted - (b->left < 0 ? 0 : b->left);
}

bool budget_tidy(struct budget *b)
{
	assert(!b->active);
	if (b->live < b->live_settled + GARBAGE_BYTES && b->end != BUDGET_MEMORY) {
		return true;
	}
	if (b->footprint > b->footprint_max / 2) {
		return false;
	}
	lua_gc(b->state, LUA_GCSTEP, 0);
	b->live_settled = b->live;
	if (b->live > 2 * b->live_base + GARBAGE_BYTES) {
		/* What was alive during two young collections is taken for old: look at it as well. */
		lua_gc(b->state, LUA_GCCOLLECT);
		b->live_settled = b->live;
	}
	return true;
}

/* ---- the end ---- */

void budget_raise(lua_State *L, enum budget_end end)
{
	struct budget *b = budget_of(L);
	if (b->end == BUDGET_OPEN) {
		b->end = end;
	}
	lua_pushnil(L); /* nobody reads it: whoever catches raises again */
	lua_error(L);
	fatal("lua_error returned");
}

void budget_spent(lua_State *L)
{
	budget_raise(L, BUDGET_STEPS);
}

void budget_ask(lua_State *L)
{
	if (budget_of(L)->active) {
		budget_raise(L, BUDGET_TIME);
	}
}

void budget_charge_walk(lua_State *L, int index)
{
	budget_charge(L, nodes_places(L, index) / PLACES_A_STEP);
}

bool budget_ended(lua_State *L, int status)
{
	struct budget *b = budget_of(L);
	if (status == LUA_ERRMEM && b->end == BUDGET_OPEN) {
		b->end = BUDGET_MEMORY;
	}
	return b->end != BUDGET_OPEN;
}

#ifdef __SANITIZE_THREAD__
/* Debian's Lua raises through glibc's checked longjmp, which the thread sanitizer does not know: its picture
 * of the stack would keep the frames of every error until it overflows. It knows longjmp. */
_Noreturn void __longjmp_chk(jmp_buf buf, int value);
_Noreturn void __longjmp_chk(jmp_buf buf, int value)
{
	longjmp(buf, value);
}
#endif
