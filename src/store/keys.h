/* Tables: the first byte of every key in the database says whose it is.
 *
 *   'M'  meta record (store)                      M
 *   'k'  Redis keys (command)                     k db(1) generation(4, big-endian) key
 *   'x'  Redis expiry index (command)             x at_ms(8, big-endian) row-key
 *   'g'  Redis databases' generations (command)   g db(1); g 0xfd, 0xfe: scans; g 0xff: expiry's progress
 *   'f'  Redis function libraries (script)        f l name | f n function
 *   'b'  bundles: sources, active version (script) b …
 *   'r'  rows of bundle tables (script)           r table-tuple…
 *   'i'  indexes of bundle tables (script)        i …
 *   's'  sequences (script)                       s name
 *   'o'  once records (engine)                    o user-length(1) user id
 *   'q'  once records by age (engine)             q stamp_ms index part (engine/once_age.c); q: the horizon
 *   'e'  event blocks (engine)                    e index(8, big-endian)
 *   't'  timer blocks (engine)                    t …
 *
 * Clients reach 'k' through commands and 'r' through procedures, ROW and ROWS; nothing else. */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#define TABLE_META 'M'
#define TABLE_KV 'k'
#define TABLE_KV_EXPIRY 'x'
#define TABLE_KV_DB 'g'
#define TABLE_FUNCTION 'f'
#define TABLE_BUNDLE 'b'
#define TABLE_ROW 'r'
#define TABLE_INDEX 'i'
#define TABLE_SEQUENCE 's'
#define TABLE_ONCE 'o'
#define TABLE_ONCE_AGE 'q'
#define TABLE_EVENT 'e'
#define TABLE_TIMER 't'

#endif /* STORE_KEYS_H */
