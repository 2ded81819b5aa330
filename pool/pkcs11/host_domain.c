/* The mark of a security domain on a token: a private data object labelled `keyward-domain` whose
 * value is the domain's check value. A blob of another domain does not open here anyway; the mark
 * says so before anything is tried, names both domains, and keeps a token that an operator has put
 * into the wrong group out of it. */
#include "pool/pkcs11/host.h"

#define MARKS_MAX 8u

static CK_OBJECT_CLASS class_data = CKO_DATA;
static CK_BBOOL yes = CK_TRUE;
static char label[] = "keyward-domain";

static CK_RV find_marks(struct pool_host *host, CK_OBJECT_HANDLE marks[MARKS_MAX], CK_ULONG *count)
{
    CK_ATTRIBUTE wanted[] = {
        {CKA_CLASS, &class_data, sizeof class_data},
        {CKA_TOKEN, &yes, sizeof yes},
        {CKA_LABEL, label, sizeof label - 1},
    };
    *count = 0;
    CK_RV rv = host->p11->C_FindObjectsInit(host->anchor, wanted, 3);
    if (rv != CKR_OK) {
        return rv;
    }
    rv = host->p11->C_FindObjects(host->anchor, marks, MARKS_MAX, count);
    CK_RV end = host->p11->C_FindObjectsFinal(host->anchor);
    return rv != CKR_OK ? rv : end;
}

static CK_RV read_mark(struct pool_host *host, CK_OBJECT_HANDLE mark, uint8_t room[64], size_t *len)
{
    CK_ATTRIBUTE value = {CKA_VALUE, room, 64};
    CK_RV rv = host->p11->C_GetAttributeValue(host->anchor, mark, &value, 1);
    *len = rv == CKR_OK && value.ulValueLen <= 64 ? value.ulValueLen : 0;
    return rv;
}

static CK_RV make_mark(struct pool_host *host, struct kw_span check)
{
    static char application[] = "keyward";
    CK_OBJECT_HANDLE made;
    CK_ATTRIBUTE attributes[] = {
        {CKA_CLASS, &class_data, sizeof class_data},
        {CKA_TOKEN, &yes, sizeof yes},
        {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_LABEL, label, sizeof label - 1},
        {CKA_APPLICATION, application, sizeof application - 1},
        {CKA_VALUE, (void *)check.data, check.len},
    };
    return host->p11->C_CreateObject(host->anchor, attributes,
                                     sizeof attributes / sizeof attributes[0], &made);
}

static void say_other(char *other, const uint8_t *value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        other[i] = value[i] > 0x20 && value[i] < 0x7f ? (char)value[i] : '?';
    }
    other[len] = '\0';
}

CK_RV pool_host_domain(struct pool_host *host, struct kw_span check, bool join, bool *match,
                       char *other)
{
    CK_OBJECT_HANDLE marks[MARKS_MAX];
    CK_ULONG count = 0;
    bool marked = false;
    *match = true;
    other[0] = '\0';
    if (find_marks(host, marks, &count) != CKR_OK) {
        return CKR_OK; /* no data objects here: the gateway's own record has to do */
    }
    for (CK_ULONG i = 0; i < count; i++) {
        uint8_t value[64];
        size_t len = 0;
        CK_RV rv = read_mark(host, marks[i], value, &len);
        if (rv != CKR_OK) {
            return rv;
        }
        if (kw_span_equal(kw_span_of(value, len), check)) {
            marked = true;
        } else if (join) {
            rv = host->p11->C_DestroyObject(host->anchor, marks[i]);
            if (rv != CKR_OK) {
                return rv;
            }
        } else {
            *match = false;
            say_other(other, value, len);
            return CKR_OK;
        }
    }
    if (!marked) {
        (void)make_mark(host, check); /* a token that keeps none is matched by the record alone */
    }
    return CKR_OK;
}
