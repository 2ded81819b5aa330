#pragma once
/* Reader of NIST response files: "[section]", "name = value" and single words such as FAIL. */

#include <stdbool.h>
#include <stddef.h>

struct kt_rsp;

/** Opens `path` below the vectors package; NULL when it is not there. */
struct kt_rsp *kt_rsp_open(const char *path);
void kt_rsp_close(struct kt_rsp *rsp);

/** Next line that says something; false at the end. *name is what was set: the field's name, the
 *  word, or "[" for a section. */
bool kt_rsp_next(struct kt_rsp *rsp, const char **name);

/** Last value of a field ("" when it had none yet); "[" gives the section's text. */
const char *kt_rsp_get(const struct kt_rsp *rsp, const char *name);

/** True when the installed package is there. */
bool kt_rsp_available(void);
