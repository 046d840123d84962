/* What a script may use up: steps and memory. A budget owns a Lua state's
 * allocator and its count hook, and decides how every call ends.
 *
 * A step is about 10 ns: one VM instruction, 16 allocated bytes, or what a library call
 * charges by the size of its work, so that LIMIT_SCRIPT_STEPS end within about 100 ms
 * whatever is done; a comparison of texts one for each NUL in them, which is how Lua compares (the program's
 * strcoll is ours for that). Collection is stopped while a call runs and done between calls.
 *
 * Once a call has ended (steps or memory gone, or budget_raise) the end is sticky: pcall,
 * xpcall and coroutines of the sandbox raise again whatever they catch, so no script can
 * go on. The state's extra space holds the budget: budget_of(L) works on every thread.
 *
 * Steps are counted, not timed: what takes long in few of them is asked to end by whoever watches the time
 * (budget_watch), at the next look of the counter, charge, or piece of a text that is compiled. Only where
 * one run decides for all, as a call does at the leader; a bundle, which each member compiles, is watched by
 * nobody.
 *
 * The last resort is not here, and trusts nothing that is: engine/watchdog.h ends the process when a call has
 * used a second of processor time all the same, and the script is refused afterwards (script/refused.h). */
#ifndef SCRIPT_BUDGET_H
#define SCRIPT_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "base/prng.h"
#include "base/slice.h"
#include "script/nodes.h"

enum budget_end {
	BUDGET_OPEN,   /* not ended */
	BUDGET_STEPS,  /* its steps are used up */
	BUDGET_MEMORY, /* its memory is used up */
	BUDGET_TIME,   /* who watches asked it to end */
	BUDGET_RAISED  /* the host ended it: fail(), a store error; the host knows more */
};

#define BUDGET_CLASSES 33 /* blocks of 16, 32 … 512 bytes */
struct budget_block;
struct budget_slab;

/* Embedded first in whatever owns a Lua state. */
struct budget {
	lua_State *state;   /* main thread */
	lua_State *running; /* thread whose code runs now */
	int64_t left;       /* steps; below 0: gone */
	int64_t granted;
	bool active;   /* between budget_start and budget_stop */
	bool counting; /* the count hook is armed */
	enum budget_end end;
	const uint64_t *late; /* of whoever watches: the call is to end when one of these bits is set */
	uint64_t late_bits;
	size_t footprint; /* bytes taken from the system */
	size_t footprint_max;
	size_t live;         /* bytes in use by Lua */
	size_t live_settled; /* after the last collection */
	size_t live_base;    /* after budget_settle */
	size_t longest;      /* string made in this call */
	struct prng shifts;  /* when is looked; it goes on from call to call */
	unsigned looks;
	struct budget *around; /* another call during which this one runs */
	struct budget_block *free_blocks[BUDGET_CLASSES];
	struct budget_slab *slabs;
	uint8_t *slab_next, *slab_end;
	struct nodes nodes;
};

/* A new state without any library; NULL when there is no memory. Its panic handler is fatal():
 * everything that can raise must run below lua_pcall. */
lua_State *budget_open(struct budget *b, size_t memory_max);
void budget_close(struct budget *b);

/* All that lives as long as the state has been made: collects once, and takes what is left as the measure. */
void budget_settle(struct budget *b);

/* From here on a call ends when another thread has set one of these bits in *late, borrowed. Until then, and
 * after budget_open, nobody watches. */
void budget_watch(struct budget *b, const uint64_t *late, uint64_t bits);
/* A call begins. counted: arm the count hook; without it only allocations and
 * library calls are charged, for code that cannot loop. */
void budget_start(struct budget *b, int64_t steps, bool counted);
/* From here on each step counts, when it did not from the start: the code behind may be run again. */
void budget_count(lua_State *L);
/* The call is over: returns the steps it used. The end stays readable until the next start. */
int64_t budget_stop(struct budget *b);
/* Between calls: collects when enough garbage has gathered. False when the state
 * has grown so large that it should be thrown away (budget_close) and made anew. */
bool budget_tidy(struct budget *b);

static inline struct budget *budget_of(lua_State *L)
{
	return *(struct budget **)lua_getextraspace(L);
}

/* Ends the call: does not return. The message is what lua_pcall's caller finds on the stack. */
_Noreturn void budget_raise(lua_State *L, enum budget_end end);
_Noreturn void budget_spent(lua_State *L); /* budget_raise(BUDGET_STEPS) */
void budget_ask(lua_State *L);             /* budget_raise(BUDGET_TIME), inside of a call */
/* For whatever takes long: ends the call when that is asked for. */
static inline void budget_look(lua_State *L)
{
	const struct budget *b = budget_of(L);
	if ((__atomic_load_n(b->late, __ATOMIC_RELAXED) & b->late_bits) != 0) {
		budget_ask(L);
	}
}
static inline void budget_charge(lua_State *L, size_t steps)
{
	struct budget *b = budget_of(L);
	b->left -= (int64_t)steps;
	if (b->left < 0 && b->active) {
		budget_spent(L);
	}
	budget_look(L);
}
/* Charges for work linear in bytes. */
static inline void budget_charge_bytes(lua_State *L, size_t bytes)
{
	budget_charge(L, 1 + bytes / 64);
}

/* Charges for a walk over the table at index, also over what is empty in it: keys that were set to nil leave
 * their places behind, and lua_next steps over 130,000 of them in one call. */
void budget_charge_walk(lua_State *L, int index);

/* After a lua_pcall or lua_resume returned status: notes memory as the end, and tells whether the call is
 * over. */
bool budget_ended(lua_State *L, int status);

#endif /* SCRIPT_BUDGET_H */
