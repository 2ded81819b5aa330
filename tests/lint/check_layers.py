#!/usr/bin/python3
"""The direction of dependency: gateway -> pool -> crypto, and what each layer must not know."""
import re

import common

LIBRARIES = r"event2/|jansson|sqlite3|libpq|nghttp2|http_parser|jose/|cyaml|curl/"
RULES = {
    "crypto": [
        (re.compile(r'#\s*include\s*"(pool|gateway)/'), "crypto includes a layer above it"),
        (re.compile(r"#\s*include\s*<(%s|p11-kit|pkcs11)" % LIBRARIES), "crypto knows a library of a layer above it"),
    ],
    "pool": [
        (re.compile(r'#\s*include\s*"gateway/'), "pool includes gateway"),
        (re.compile(r"#\s*include\s*<(%s)" % LIBRARIES), "pool knows HTTP, JSON or SQL"),
    ],
    "gateway": [
        (re.compile(r'#\s*include\s*"pool/(?!(pool|op|events|diagnose)\.h")'), "gateway includes an inner header of pool"),
        (re.compile(r"#\s*include\s*<.*pkcs11"), "gateway includes PKCS#11"),
        (re.compile(r"\bCK[A-Z]?_[A-Z][A-Z0-9_]+"), "gateway names a PKCS#11 constant"),
    ],
}
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


def blank(match):
    return "\n" * match.group(0).count("\n")


def problems(root, files):
    found = []
    for name in common.sources(files, tuple(RULES)):
        code = COMMENT.sub(blank, common.text(root, name))
        for number, line in enumerate(code.split("\n"), 1):
            if "#" not in line:
                line = STRING.sub('""', line)  # the API names algorithms "CKM_..." itself
            for pattern, what in RULES[name.split("/")[0]]:
                if pattern.search(line):
                    found.append(f"{name}:{number}: {what}: {line.strip()}")
    return found


BAD = {
    "crypto/a.c": ('#include "pool/pool.h"\n', "crypto includes"),
    "crypto/b.c": ("#include <jansson.h>\n", "crypto knows"),
    "crypto/c.h": ("/* x\n*/ # include <p11-kit/pkcs11.h>\n", "crypto knows"),
    "pool/a.h": ('#include "gateway/app.h"\n', "pool includes"),
    "pool/b.c": ("#include <event2/event.h>\n", "pool knows"),
    "gateway/a.c": ('#include "pool/member.h"\n', "inner header"),
    "gateway/b.c": ("#include <p11-kit/pkcs11.h>\n", "includes PKCS#11"),
    "gateway/c.c": ("int x = CKR_PIN_INCORRECT;\n", "constant"),
    "gateway/d.c": ("CK_RV x;\n", "constant"),
}
GOOD = {
    "crypto/a.c": '#include "crypto/base/span.h"\n/* not #include "pool/x.h" */\n',
    "pool/a.c": '#include "crypto/base/span.h"\n#include <p11-kit/pkcs11.h>\nCK_RV x;\n',
    "gateway/a.c": '#include "pool/pool.h"\n#include "pool/op.h"\n#include "pool/events.h"\n/* CK_RV */\n',
    "gateway/b.c": 'const char *name = "CKM_AES_KEY_WRAP";\n',
    "tests/a.c": '#include "pool/member.h"\n',
}

if __name__ == "__main__":
    common.main(problems, BAD, GOOD)
