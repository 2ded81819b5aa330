#pragma once
/* The command line: one row a command in cli.c, one function a command in its own file. */

#include "gateway/cli/options.h"

/** The whole program behind main(). Gives the exit code: 0 done, 1 failed, 2 asked wrongly or an
 *  invalid configuration. */
int cli_main(int argc, char **argv);

int cli_serve(const struct cli_command *command, int argc, char **argv);
int cli_check(const struct cli_command *command, int argc, char **argv);
int cli_init(const struct cli_command *command, int argc, char **argv);
int cli_status(const struct cli_command *command, int argc, char **argv);
int cli_key(const struct cli_command *command, int argc, char **argv);
int cli_member(const struct cli_command *command, int argc, char **argv);
int cli_doctor(const struct cli_command *command, int argc, char **argv);
int cli_export(const struct cli_command *command, int argc, char **argv);
int cli_import(const struct cli_command *command, int argc, char **argv);
int cli_backup(const struct cli_command *command, int argc, char **argv);
int cli_restore(const struct cli_command *command, int argc, char **argv);
int cli_token(const struct cli_command *command, int argc, char **argv);
int cli_dr(const struct cli_command *command, int argc, char **argv);
int cli_domain(const struct cli_command *command, int argc, char **argv);
