#pragma once
/* Runs store_writer and checks what it acknowledged. */

#include <stdbool.h>
#include <sys/types.h>

#define CHECK_NUMBERS 400000

/** What was acknowledged of each number, and what was refused. */
struct check {
    unsigned char put[CHECK_NUMBERS], deleted[CHECK_NUMBERS];
    unsigned puts, deletes, refused, refused_io, acks_after_refusal, not_read_only;
};

/** Starts store_writer, which lies beside this program, behind the words of `wrapper` (ended by
 * NULL; NULL: none); its output is read from `*out`. */
pid_t check_start(const char *dir, unsigned first, unsigned count, const char *const *wrapper,
                  int *out);

/** Takes in output until its end. */
void check_read(struct check *check, int fd);

/** Opens the store in `dir`: everything acknowledged of the numbers from `from` on is there as it
 * was, deletes too; the database passes SQLite's integrity check. Prints what is wrong. */
bool check_store(const struct check *check, const char *dir, unsigned from);
