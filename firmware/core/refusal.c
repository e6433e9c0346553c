#include "refusal.h"

static char *add(char *at, const char *end, const char *text)
{
    while (*text != '\0' && at < end) {
        *at++ = *text++;
    }
    *at = '\0';
    return at;
}

bool refuse(struct refusal *refusal, uint8_t code, uint32_t detail, const char *text, const char *name)
{
    const char *end = refusal->reason + REASON_BYTES - 1;

    refusal->code = code;
    refusal->detail = detail;
    add(add(refusal->reason, end, text), end, name);
    return false;
}
