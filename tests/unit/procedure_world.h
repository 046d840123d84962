/* Calls of procedures, each made in two worlds: w, whose sources are compiled to sites (script/site.h), and
 * plain, whose sources stay as written. They must agree, but for the words of a mistake. */
#ifndef TESTS_UNIT_PROCEDURE_WORLD_H
#define TESTS_UNIT_PROCEDURE_WORLD_H

#include "tests/unit/script_world.h"

#define TABLES                                                                                               \
	"tables { item = { key = {'item'}, columns = { item = id, n = count, price = optional(money), i = "  \
	"optional(int(-5, 5)), note = optional(text(10)), b = optional(bool) },\n"                           \
	"                  indexes = { by_price = { 'price' } } },\n"                                        \
	"         pair = { key = {'a', 'k'}, columns = { a = id, k = int, v = optional(int) } } }"

extern struct world w, plain;

void worlds_open(void);
/* Says whether they agreed, in so many calls at least. */
void worlds_close(unsigned least);

/* Of a call of body, made in both, what w and plain returned: their replies are compared. */
void compare(const char *body, int status, int plain_status);
/* Calls p, with one argument, or none (NULL). What w returned; its reply is in w, as after those below. */
int call_both(const char *body, const char *name, const char *value);
/* Pushes a bundle whose p.lua is this, into both worlds. 0 or an error. */
int push_file(const char *text);
/* Pushes a bundle whose one procedure p has this body, and calls it. */
int run_with(const char *declaration, const char *body, const char *name, const char *value);
/* So, with a declaration that suits most. */
int run(const char *body);
/* Runs it: it succeeds, with this in its reply. */
void gives(const char *body, const char *want, const char *sentence);
/* Runs it: it ends with this code, and has written nothing. */
void ends(const char *body, const char *code, const char *sentence);
/* The last reply has this in it. */
void says(const char *part, const char *sentence);

#endif /* TESTS_UNIT_PROCEDURE_WORLD_H */
