#pragma once
/* A look into the database of a closed store (or of one whose process was killed), beside the
 * store's own code. */

#include <stddef.h>

/** Is the database of `dir` whole: sound for SQLite, and what lists say of each object what its
 *  newest version says? NULL, or what is wrong (static per thread). Opens the file for writing: a
 *  log that was left behind is recovered. */
const char *ts_store_damage(const char *dir);
