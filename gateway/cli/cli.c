#include "gateway/cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "pool/pool.h"

/* keyward member-host: the child process of a PKCS#11 member, started by the gateway alone. */
#define MEMBER_HOST_FD 3

static int run_version(const struct cli_command *command, int argc, char **argv)
{
    const struct cli_option none[] = {{.name = NULL}};
    struct cli_words words;
    int code = cli_read(command, none, argc, argv, &words);
    if (code != CLI_GO_ON)
        return code;
    printf("keyward %s\n", KEYWARD_VERSION);
    return 0;
}

static const struct cli_command commands[] = {
    {"serve",
     "keyward serve --dev [--data DIR] [--listen ADDR:PORT] [--admin ADDR:PORT]\n"
     "keyward serve -c FILE [--await-domain]",
     "Runs the gateway. --dev needs no configuration: it makes a CA, a certificate, a token and a\n"
     "security domain under DIR, serves with the software core, and prints one line\n"
     "\"ready https://localhost:PORT\" once it answers. Logs go to standard error.\n"
     "SIGTERM drains and exits 0; SIGHUP reloads certificates and tokens. --await-domain: where "
     "no\n"
     "security domain is yet, only its download (which makes it) and upload are answered.",
     cli_serve},
    {"check", "keyward check -c FILE",
     "Checks a configuration and the files it names. Exit code 0 when it is valid, 2 when not;\n"
     "each problem is one line: file, line, field, what was found, what is allowed.",
     cli_check},
    {"init", "keyward init -c FILE",
     "Makes the data directory, the store and a new security domain. Refuses when one is there.",
     cli_init},
    {"status", "keyward status [-c FILE | --data DIR] [--json]",
     "Shows the state of a running gateway and of its members. Exit code 1 when it is not ready.",
     cli_status},
    {"member",
     "keyward member list [-c FILE | --data DIR] [--json]\n"
     "keyward member add NAME [-c FILE]\n"
     "keyward member remove NAME [--force] [-c FILE]\n"
     "keyward member recover|drain|activate|replace|sync|zeroize NAME [-c FILE | --data DIR]",
     "Shows the members of the group, or acts on one: add (join the member that was written into\n"
     "the configuration file, and wait until it serves; a member whose settings were changed "
     "there\n"
     "takes them over), remove (let the member leave that was taken out of the file, once its "
     "work\n"
     "is done; --force: also the last one that serves), recover (try again at once, also after a\n"
     "refused PIN), drain (no new work), activate (take work again), replace (join the token that\n"
     "is there now in the place of the one that was joined before: another serial number or "
     "another\n"
     "security domain), sync (drop the loaded keys; each is loaded anew when it is used), zeroize "
     "(drain, destroy\n"
     "what keyward has on the token, verify, and stay out of the group).",
     cli_member},
    {"key",
     "keyward key list [-c FILE | --data DIR] [--json]\n"
     "keyward key adopt --list [-c FILE | --data DIR] [--json]\n"
     "keyward key adopt NAME --id HEX|--label TEXT [--member NAME] [--ops OP,OP]\n"
     "    [--vault NAME] [-c FILE | --data DIR]",
     "list: the keys of the gateway, how each is kept (software, hsm: wrapped under the security\n"
     "domain, resident: on the tokens), which members can use it and which have it loaded now.\n"
     "adopt --list: the keys that are on the members' tokens. adopt NAME: makes a key of the "
     "gateway\n"
     "of one that is there, after each member that holds it has shown that it is the same key. It\n"
     "stays where it is: deleting or purging it in keyward removes the record, never the key on "
     "the\n"
     "token. keyward member zeroize does not touch it either: it leaves record and key as they "
     "are.",
     cli_key},
    {"doctor", "keyward doctor [-c FILE | --data DIR] [--json]",
     "Looks at configuration, files, certificates, store and machine, and goes through each "
     "member\n"
     "step by step: name, connection, library, token, login, domain, signature. Says what was "
     "seen,\n"
     "who probably has to act, and what next. Works with the gateway up and down; tries no PIN "
     "that\n"
     "is not known to be good. Exit code 0 when all is well, 1 when not, 2 when asked wrongly.",
     cli_doctor},
    {"export",
     "keyward export [--vault NAME] -o FILE [-c FILE | --data DIR]\n"
     "keyward export verify FILE [-c FILE | --data DIR]",
     "Writes everything that a vault holds at one moment (keys, secrets, certificates, policies,\n"
     "deleted ones, all versions) into an archive, sealed under the security domain, while the\n"
     "gateway serves. The same command again goes on where an interrupted one was. verify reads\n"
     "an archive through and changes nothing.",
     cli_export},
    {"import", "keyward import [--vault NAME] FILE [-c FILE | --data DIR]",
     "Puts an archive of the same security domain into a vault: all of it, or nothing. Refused,\n"
     "with the names, when one of them is in the vault already, live or deleted.",
     cli_import},
    {"backup",
     "keyward backup --to PLACE [--vault NAME] [--sas-file FILE] [-c FILE | --data DIR]\n"
     "keyward backup verify BACKUP [--vault NAME] [--sas-file FILE] [-c FILE | --data DIR]",
     "Makes a full backup of a vault, as it is at one moment, in a new folder below PLACE: sealed\n"
     "under the security domain, with a manifest. PLACE is below one of backup.folders in the\n"
     "configuration (--dev: DIR/backups). verify reads a backup through to its last byte and "
     "holds\n"
     "the manifest against it; nothing is changed.",
     cli_backup},
    {"restore",
     "keyward restore BACKUP [--key NAME] [--vault NAME] [--sas-file FILE] [-c FILE | --data DIR]",
     "Puts a full backup of the same security domain in the place of everything that the vault\n"
     "holds: all of it, or nothing. Needs a backup of the vault that is not older than half an\n"
     "hour. --key NAME restores one key that is not there, with all versions, and nothing else.",
     cli_restore},
    {"token",
     "keyward token create NAME [--no-access [--role ROLE [--scope SCOPE] [--vault NAME]]]\n"
     "                          [--principal GUID] [-c FILE | --data DIR]\n"
     "keyward token revoke NAME [-c FILE | --data DIR]\n"
     "keyward token list [-c FILE | --data DIR]",
     "Keeps the static tokens. create prints the token once; only its hash is kept. A running\n"
     "gateway reads the file again on SIGHUP.",
     cli_token},
    {"domain",
     "keyward domain download --certs A.pem,B.pem,C.pem --quorum M -o FILE [-c FILE | --data DIR]\n"
     "keyward domain init-recovery -o EXCHANGE.pem [-c FILE | --data DIR]\n"
     "keyward domain upload FILE --keys A.key,B.key [--exchange EXCHANGE.pem] [-o BLOB]\n"
     "keyward domain upload BLOB [-c FILE | --data DIR]\n"
     "keyward domain check FILE [--certs A.pem,B.pem]",
     "Activation and recovery, with the files of az keyvault security-domain. download seals the\n"
     "security domain to the operators' certificates; any M of their keys bring it back. "
     "init-recovery\n"
     "gives the key that the gateway made for an exchange. upload opens the file with the "
     "operators'\n"
     "keys, here and nowhere else, and sends what is sealed for that exchange key alone; with -o "
     "it\n"
     "only writes it, for a machine without a gateway. check says what a file holds,\n"
     "and with --certs whose shares are in it; exit code 1 when they are fewer than its quorum.",
     cli_domain},
    {"dr",
     "keyward dr check --domain FILE [--keys A.key,B.key] [--from PLACE [--sas-file FILE]]\n"
     "    [--vault NAME] [-c FILE | --data DIR] [--json]\n"
     "keyward dr rehearse --domain FILE --keys A.key,B.key [--from PLACE [--sas-file FILE]]\n"
     "    [--vault NAME] [--scratch DIR] [-c FILE | --data DIR] [--json]",
     "check says whether a recovery would succeed today: the security-domain file and whose "
     "shares\n"
     "it holds, whether the keys that are given reach its quorum, the newest backup of each vault\n"
     "and whether it is whole, what has changed in the store since, the members. It reads only, "
     "and\n"
     "works with the gateway up and down, and without any. rehearse recovers into a scratch "
     "instance\n"
     "of its own, compares everything with the backup and the live store, uses each key once, and\n"
     "removes the scratch instance again. Private keys stay in this process. Exit code 0: all is\n"
     "well (warnings allowed), 1: it is not, 2: asked wrongly.",
     cli_dr},
    {"version", "keyward version", "Prints the version.", run_version},
};

static int show_all(FILE *to, int code)
{
    fprintf(to, "keyward %s: a crypto gateway with the Azure Key Vault API\n\nUsage:\n",
            KEYWARD_VERSION);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const char *line = commands[i].synopsis;
        while (*line) {
            size_t len = strcspn(line, "\n");
            fprintf(to, "  %.*s\n", (int)len, line);
            line += len + (line[len] == '\n');
        }
    }
    fprintf(to, "\nkeyward COMMAND --help says more. Start with: keyward serve --dev\n");
    return code;
}

int cli_main(int argc, char **argv)
{
    if (argc < 2)
        return show_all(stderr, 2);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return show_all(stdout, 0);
    const char *name = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    if (strcmp(argv[1], "member-host") == 0)
        return pool_host_main(MEMBER_HOST_FD);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(&commands[i], argc - 2, argv + 2);
    }
    return cli_usage(NULL, "there is no command \"%s\"", argv[1]);
}
