/* A jump to another stack looks to the fortified longjmp like one into a frame that is gone. */
#undef _FORTIFY_SOURCE

#include "tests/sim/sim_fiber.h"

#include "base/err.h"

#include <assert.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STACK_BYTES (1024 * 1024) /* as lanes of the libuv body have */
#define GUARD_BYTES 4096

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#endif

#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

struct sim_fiber {
	void (*run)(void *owner);
	void *owner;
	bool inside; /* run() has begun and not returned */
	bool begun;  /* here says where it stopped; before, first says where it begins */
	/* swapcontext asks the kernel for the signals each time, twice a switch; nobody changes them. */
	jmp_buf here, caller;
	ucontext_t first;
	struct sim_fiber *next; /* of those that wait for another owner */
	uint8_t *memory; /* a guard page, then the stack */
#ifdef FIBER_ASAN
	void *fake, *caller_fake;
	const void *caller_bottom;
	size_t caller_size;
#endif
};

/* The address sanitizer is told which stack it looks at. */
static void leave_caller(struct sim_fiber *fiber)
{
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(&fiber->caller_fake, fiber->memory + GUARD_BYTES, STACK_BYTES);
#endif
}
static void enter_caller(struct sim_fiber *fiber)
{
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(fiber->caller_fake, NULL, NULL);
#endif
}
static void leave_fiber(struct sim_fiber *fiber)
{
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(&fiber->fake, fiber->caller_bottom, fiber->caller_size);
#endif
}
static void enter_fiber(struct sim_fiber *fiber)
{
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(fiber->fake, &fiber->caller_bottom, &fiber->caller_size);
#endif
}

static void must(int status)
{
	if (status != 0) {
		fatal("cannot change to another stack");
	}
}

void sim_fiber_wait(struct sim_fiber *fiber)
{
	leave_fiber(fiber);
	if (_setjmp(fiber->here) == 0) {
		_longjmp(fiber->caller, 1);
	}
	enter_fiber(fiber);
}

/* A context takes ints only: the fiber's address comes in two halves. */
static void begin(unsigned high, unsigned low)
{
	struct sim_fiber *fiber = (struct sim_fiber *)(uintptr_t)((uint64_t)high << 32 | low);
	enter_fiber(fiber);
	for (;;) {
		fiber->run(fiber->owner);
		fiber->inside = false;
		sim_fiber_wait(fiber);
	}
}

bool sim_fiber_resume(struct sim_fiber *fiber)
{
	fiber->inside = true;
	leave_caller(fiber);
	if (_setjmp(fiber->caller) == 0) {
		if (fiber->begun) {
			_longjmp(fiber->here, 1);
		}
		fiber->begun = true;
		must(setcontext(&fiber->first));
	}
	enter_caller(fiber);
	return !fiber->inside;
}

static struct sim_fiber *fiber_make(void)
{
	struct sim_fiber *fiber = calloc(1, sizeof(*fiber));
	if (fiber == NULL) {
		fatal("out of memory for a fiber");
	}
	fiber->memory = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (fiber->memory == MAP_FAILED) {
		fatal("out of memory for a stack");
	}
	must(mprotect(fiber->memory, GUARD_BYTES, PROT_NONE));
	must(getcontext(&fiber->first));
	fiber->first.uc_stack.ss_sp = fiber->memory + GUARD_BYTES;
	fiber->first.uc_stack.ss_size = STACK_BYTES;
	fiber->first.uc_link = NULL;
	uint64_t address = (uint64_t)(uintptr_t)fiber;
	makecontext(&fiber->first, (void (*)(void))begin, 2, (unsigned)(address >> 32), (unsigned)address);
	return fiber;
}

struct sim_fiber *sim_fiber_take(struct sim_fiber **spare, void (*run)(void *owner), void *owner)
{
	struct sim_fiber *fiber = *spare;
	if (fiber != NULL) {
		*spare = fiber->next;
	} else {
		fiber = fiber_make();
	}
	assert(!fiber->inside);
	fiber->run = run;
	fiber->owner = owner;
	return fiber;
}

void sim_fiber_give(struct sim_fiber **spare, struct sim_fiber *fiber)
{
	if (fiber == NULL) {
		return;
	}
	assert(!fiber->inside);
	fiber->next = *spare;
	*spare = fiber;
}

void sim_fibers_free(struct sim_fiber **spare)
{
	struct sim_fiber *fiber;
	while ((fiber = *spare) != NULL) {
		*spare = fiber->next;
		must(munmap(fiber->memory, GUARD_BYTES + STACK_BYTES));
		free(fiber);
	}
}
