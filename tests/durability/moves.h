#pragma once
/* What moves_writer does and kill_moves checks. */

#define MOVES_OBJECTS 3 /* of each kind */

enum move { MOVE_DELETE, MOVE_RECOVER, MOVE_PURGE, MOVE_RESTORE, MOVE_ROTATE, MOVE_COUNT };

static const char *const move_names[MOVE_COUNT] = {"delete", "recover", "purge", "restore",
                                                   "rotate"};
