#!/usr/bin/python3
"""Reads the machine code of the kernels as it ships and refuses what may depend on a secret.

    scan.py OBJECT...             findings, exit 1 when there are any
    scan.py --controls OBJECT     every function leak_* has to be found, no function fine_*

Refused: divisions, gathers and scatters, string compares; a conditional jump on flags, or a memory
address, that come from a vector or mask register (all data of the kernels is there); a conditional jump
on a compared byte (lengths and counters are words, data are bytes). The value is followed through
registers and stack slots along the code as it lies in memory, within a function. Public decisions of
that kind are named in ALLOWED, each with its reason.
"""
import re
import subprocess
import sys

ALLOWED = {
    # function: what may be found there, and why it is public
    "kc_rsa_x8_public": ("jump", "bits of public exponents; verdicts of the result check"),
    "kc_ec_sign_known": ("jump", "verdicts of the check of finished signatures"),
    "raise": ("jump", "bits of public exponents"),
    "open_or_wipe": ("jump", "verdict of a tag"),
    "expand": ("forbidden", "division by the number of words of a key"),
    "kc_mgf1_xor": ("jump", "the running status of the digest"),
    "kc_pkcs1_encrypt_encode": ("jump", "random fill is drawn again where it is zero"),
    "kc_aes_vaes_capable": ("jump", "bits of cpuid"),
    "kc_rsa_x8_supported": ("jump", "bits of cpuid"),
}

FORBIDDEN = re.compile(r"^(idiv|div)[bwlq]?$|^v?p?gather|^vp?scatter|^vgather|^xlat|^(cmps|scas)[bwlq]?$")
TO_GENERAL = re.compile(r"^(kmov[bwdq]|v?mov[dq]|v?pextr[bwdq]|v?pmovmskb|v?movmskp[sd]|v?extractps)$")
VECTOR_FLAGS = re.compile(r"^(kortest[bwdq]|ktest[bwdq]|v?ptest|vtestp[sd]|v?u?comis[sd])$")
SETS_FLAGS = re.compile(r"^(add|sub|and|or|xor|cmp|test|neg|inc|dec|shl|shr|sar|sal|bt|bts|btr|adc|sbb|imul|mul|"
                        r"andn|bzhi|blsr|blsi|lzcnt|tzcnt|popcnt|bsf|bsr|rol|ror|shld|shrd)[bwlq]?$")
COMPARES = re.compile(r"^(cmp|test|bt)[bwlq]?$")
JUMP = re.compile(r"^j(?!mp)[a-z]+$")
REGISTERS = {}
for wide, names in {
    "ax": "rax eax ax al ah", "bx": "rbx ebx bx bl bh", "cx": "rcx ecx cx cl ch", "dx": "rdx edx dx dl dh",
    "si": "rsi esi si sil", "di": "rdi edi di dil", "bp": "rbp ebp bp bpl", "sp": "rsp esp sp spl",
}.items():
    for one in names.split():
        REGISTERS[one] = wide
for number in range(8, 16):
    for suffix in ("", "d", "w", "b"):
        REGISTERS[f"r{number}{suffix}"] = f"r{number}"
BYTE = re.compile(r"%(?:[abcd][lh]|sil|dil|bpl|r\d+b)$")


def split(operands):
    """AT&T operands at the top level."""
    parts, depth, now = [], 0, ""
    for c in operands:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(now.strip())
            now = ""
        else:
            now += c
    return parts + [now.strip()] if now.strip() else parts


def general(operand):
    return REGISTERS.get(operand[1:]) if operand.startswith("%") else None


def is_vector(operand):
    return bool(re.match(r"%([xyz]mm\d+|k[0-7])", operand))


def vector_number(operand):
    return re.sub(r"^%[xyz]mm", "", operand)


def address_registers(operand):
    inside = re.search(r"\(([^)]*)\)", operand)
    return {REGISTERS.get(r.strip()[1:]) for r in inside.group(1).split(",") if r.strip().startswith("%")} if inside else set()


class Follower:
    """What comes from vectors, in one function, in the order of the code."""

    def __init__(self):
        self.tainted = set()  # general registers and stack slots
        self.parked = set()   # vector registers that hold a general register's public value
        self.flags = None     # None, "vector" or "byte"

    def source(self, operand):
        if is_vector(operand):
            return vector_number(operand) not in self.parked
        if general(operand):
            return general(operand) in self.tainted
        return operand in self.tainted

    def step(self, mnemonic, operands):
        found = []
        if FORBIDDEN.match(mnemonic):
            found.append(("forbidden", mnemonic))
        if JUMP.match(mnemonic):
            if self.flags:
                found.append(("jump", f"{mnemonic} on a {self.flags}'s value"))
            return found
        if not mnemonic.startswith(("lea", "nop", "prefetch")):
            for operand in operands:
                if address_registers(operand) & self.tainted:
                    found.append(("address", f"{mnemonic} {','.join(operands)}"))
        if VECTOR_FLAGS.match(mnemonic):
            self.flags = "vector"
            return found
        if mnemonic == "call":
            self.tainted -= {"ax", "cx", "dx", "si", "di", "r8", "r9", "r10", "r11"}
            self.flags = None
            return found
        if not operands:
            return found
        reads = any(self.source(o) for o in operands)
        if SETS_FLAGS.match(mnemonic):
            scalar = any(self.source(o) and not is_vector(o) for o in operands)
            byte = COMPARES.match(mnemonic) and (mnemonic.endswith("b") or any(BYTE.match(o) for o in operands))
            if mnemonic.startswith("test") and operands[0].startswith("$") and general(operands[-1]):
                byte = False  # a bit of a counter
            self.flags = "vector" if scalar else "byte" if byte else None
        self.write(mnemonic, operands, reads)
        return found

    def write(self, mnemonic, operands, reads):
        to = operands[-1]
        if COMPARES.match(mnemonic):
            return
        if is_vector(to):
            # compilers keep pointers and counters in idle vector registers
            from_general = re.match(r"^v?mov[dq]$", mnemonic) and general(operands[0])
            parked = from_general and general(operands[0]) not in self.tainted
            if re.match(r"^v?mov(dq[au](8|16|32|64)?|aps)$", mnemonic) and is_vector(operands[0]):
                parked = not self.source(operands[0])
            (self.parked.add if parked else self.parked.discard)(vector_number(to))
            return
        place = general(to) or (to if re.search(r"\(%r[sb]p\)$", to) else None)
        if not place or place == "sp":
            return
        if mnemonic.startswith("set") or mnemonic.startswith("cmov"):
            tainted = self.flags == "vector" or (mnemonic.startswith("cmov") and reads)
        elif is_vector(operands[0]):
            tainted = bool(TO_GENERAL.match(mnemonic)) and self.source(operands[0])  # a whole vector's store is not followed
        elif mnemonic.startswith("mov") or mnemonic.startswith("lea") or len(operands) > 2:
            tainted = any(self.source(o) for o in operands[:-1]) or (
                mnemonic.startswith("lea") and bool(address_registers(operands[0]) & self.tainted))
        elif mnemonic.startswith("xor") and len(operands) == 2 and operands[0] == operands[1]:
            tainted = False
        elif mnemonic.startswith("pop"):
            tainted = False
        else:
            tainted = reads
        (self.tainted.add if tainted else self.tainted.discard)(place)


def functions(path):
    """(name, [(address, mnemonic, operands)]) of an object."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-w", path], check=True, capture_output=True, text=True).stdout
    name, code = None, []
    for line in text.split("\n"):
        head = re.match(r"^[0-9a-f]+ <(.+)>:$", line)
        if head:
            if name:
                yield name, code
            name, code = head.group(1), []
            continue
        body = re.match(r"^\s*([0-9a-f]+):\s+(.*)$", line)
        if not body or not name:
            continue
        words = re.sub(r"\s*(#|<).*$", "", body.group(2)).split(None, 1)
        while words and words[0] in ("notrack", "bnd", "lock", "rep", "repz", "repnz", "cs", "data16") and len(words) > 1:
            words = words[1].split(None, 1)
        if words:
            operands = [re.sub(r"\{[^}]*\}", "", o) for o in split(words[1])] if len(words) > 1 else []
            code.append((body.group(1), words[0], operands))
    if name:
        yield name, code


def scan(path):
    """Findings and the number of functions and instructions looked at."""
    found, count, size = [], 0, 0
    for name, code in functions(path):
        count += 1
        size += len(code)
        plain = re.sub(r"\.(part|constprop|isra|cold|lto_priv)(\.\d+)*", "", name)
        follower = Follower()
        for address, mnemonic, operands in code:
            for kind, what in follower.step(mnemonic, operands):
                if ALLOWED.get(plain, ("",))[0] != kind:
                    found.append((name, f"{path}: {name}+{address}: {kind}: {what}"))
    return found, count, size


def controls(path):
    found, _, _ = scan(path)
    hit = {name.split(".")[0] for name, _ in found}
    names = {name.split(".")[0] for name, _ in functions(path)}
    missed = sorted(n for n in names if n.startswith("leak_") and n not in hit)
    wrong = sorted(n for n in hit if n.startswith("fine_"))
    for name in missed:
        print(f"not found: {name}")
    for name in wrong:
        print(f"found without reason: {name}: {[w for n, w in found if n.startswith(name)]}")
    leaks = sum(n.startswith("leak_") for n in names)
    print(f"{leaks - len(missed)} of {leaks} leaks found, {len(wrong)} false findings")
    return 1 if missed or wrong or leaks < 6 else 0


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--controls":
        sys.exit(controls(sys.argv[2]))
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    bad = total = size = 0
    for path in sys.argv[1:]:
        found, count, instructions = scan(path)
        total += count
        size += instructions
        bad += len(found)
        for _, what in found:
            print(what)
    print(f"{len(sys.argv) - 1} objects, {total} functions, {size} instructions, {bad} findings")
    sys.exit(1 if bad or total == 0 else 0)


if __name__ == "__main__":
    main()
