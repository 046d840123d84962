/* KEYS and DBSIZE over a database of any size: the walk of one of them, in steps, off the loop.
 *
 *   command_survey_open    in a transaction: fixes what is walked, and its time
 *   command_survey_step    on any one thread, until it answers false
 *   command_survey_answer  in a later transaction: the reply
 *
 * What it answers is what the command would have answered in the first transaction (txn/view.h). */
#ifndef COMMAND_SURVEY_H
#define COMMAND_SURVEY_H

#include "command/command.h"

struct command_survey;

/* A command with COMMAND_SURVEY in its flags. 0; ERR_BUSY: too much waits to be applied (VIEW_PENDING_MAX);
 * ERR_IO, ERR_CORRUPT. */
int command_survey_open(struct command_call *call, struct command_survey **survey);
/* Walks at most rows of them; false when there is nothing more to do. Then it holds nothing of the store any more. */
bool command_survey_step(struct command_survey *survey, size_t rows);
/* Writes the reply. A key that was found expired is deleted, as by whoever finds one (row.h). 0, or as a command's
 * run. */
int command_survey_answer(struct command_survey *survey, struct txn *txn, struct reply *reply);
/* NULL ok. Before the store closes; on the thread that steps, or when none does. */
void command_survey_close(struct command_survey *survey);

#endif /* COMMAND_SURVEY_H */
