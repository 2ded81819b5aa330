"""Objects put on a token with every attribute chosen, which pkcs11-tool does not let one do.

Run as a program of its own (the module reads its configuration once): p11.py MODULE LABEL PIN, one JSON list of
objects on standard input, each {attribute: value}; values are true, false, numbers, "text" or {"hex": ...}."""
import ctypes
import json
import sys

ULONG = ctypes.c_ulong
ATTRIBUTES = {"class": 0x0, "token": 0x1, "private": 0x2, "label": 0x3, "value": 0x11, "key_type": 0x100, "id": 0x102,
              "sensitive": 0x103, "encrypt": 0x104, "decrypt": 0x105, "wrap": 0x106, "unwrap": 0x107, "sign": 0x108,
              "verify": 0x10a, "derive": 0x10c, "modulus": 0x120, "public_exponent": 0x122, "private_exponent": 0x123,
              "prime_1": 0x124, "prime_2": 0x125, "exponent_1": 0x126, "exponent_2": 0x127, "coefficient": 0x128,
              "extractable": 0x162, "ec_params": 0x180, "ec_point": 0x181, "always_authenticate": 0x202}


class Attribute(ctypes.Structure):
    _fields_ = [("type", ULONG), ("value", ctypes.c_void_p), ("len", ULONG)]


class InitArgs(ctypes.Structure):
    _fields_ = [("mutexes", ctypes.c_void_p * 4), ("flags", ULONG), ("reserved", ctypes.c_void_p)]


class TokenInfo(ctypes.Structure):
    _fields_ = [("label", ctypes.c_char * 32), ("rest", ctypes.c_char * 512)]


def good(rv, what):
    if rv != 0:
        raise SystemExit(f"{what}: 0x{rv:x}")


def raw(value):
    if isinstance(value, bool):
        return bytes([value])
    if isinstance(value, int):
        return value.to_bytes(ctypes.sizeof(ULONG), sys.byteorder)
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value.encode()


def slot_of(library, label):
    slots, count = (ULONG * 64)(), ULONG(64)
    good(library.C_GetSlotList(ctypes.c_ubyte(1), slots, ctypes.byref(count)), "slots")
    for slot in slots[:count.value]:
        info = TokenInfo()
        good(library.C_GetTokenInfo(ULONG(slot), ctypes.byref(info)), "token")
        if info.label.decode().rstrip() == label:
            return slot
    raise SystemExit(f"no token {label}")


def create(library, session, attributes):
    names = list(attributes)
    template = (Attribute * len(names))()
    kept = []
    for place, name in zip(template, names):
        value = raw(attributes[name])
        kept.append(ctypes.create_string_buffer(value, max(1, len(value))))
        place.type, place.len = ATTRIBUTES[name], len(value)
        place.value = ctypes.cast(kept[-1], ctypes.c_void_p)
    handle = ULONG()
    good(library.C_CreateObject(session, template, ULONG(len(names)), ctypes.byref(handle)), f"create {attributes}")


def main(module, label, pin):
    library = ctypes.CDLL(module)
    good(library.C_Initialize(ctypes.byref(InitArgs(flags=2))), "initialize")
    session = ULONG()
    good(library.C_OpenSession(ULONG(slot_of(library, label)), ULONG(6), None, None, ctypes.byref(session)), "session")
    good(library.C_Login(session, ULONG(1), pin.encode(), ULONG(len(pin))), "login")
    for attributes in json.load(sys.stdin):
        create(library, session, attributes)
    good(library.C_Finalize(None), "finalize")


if __name__ == "__main__":
    main(*sys.argv[1:])
