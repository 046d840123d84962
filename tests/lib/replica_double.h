/* A stand-in for raft/replica.h in tests of its owner: one member, no disk, no peers.
 *
 * What a cluster does by chance the test does by hand: hold commits back, lose
 * leadership with entries in flight, be too busy, leave a read unproven. Everything
 * is told in turn hooks, as the real one does. Link it before libreplica.a. */
#ifndef TESTS_LIB_REPLICA_DOUBLE_H
#define TESTS_LIB_REPLICA_DOUBLE_H

#include "raft/replica.h"

/* The double made last in this process. */
struct replica *replica_double(void);
/* Entries proposed from now on stay uncommitted until released. */
void replica_double_hold(struct replica *r, bool hold);
/* Reads stay unproven until released. */
void replica_double_hold_reads(struct replica *r, bool hold);
/* The next proposals answer ERR_BUSY. */
void replica_double_busy(struct replica *r, bool busy);
/* Another member leads from now on; what is uncommitted is forgotten, or kept and committed by it. */
void replica_double_lose(struct replica *r, bool keep);
/* This member is elected again, in a new term; its OPEN entry commits in the next turn. */
void replica_double_elect(struct replica *r);
/* As it was told. */
bool replica_double_behind(const struct replica *r);
uint64_t replica_double_proposals(const struct replica *r);
/* The highest stamp any frame would carry. */
uint64_t replica_double_stamp_ms(const struct replica *r);

#endif /* TESTS_LIB_REPLICA_DOUBLE_H */
