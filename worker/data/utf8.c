#include "reader.h"

#include <string.h>

/* The bytes of the sequence that starts here, or 0 if it is broken (overlong, surrogate, beyond
 * U+10FFFF, cut). */
static size_t sequence_bytes(const unsigned char *s, size_t left)
{
    unsigned char lead = s[0];
    if (lead < 0x80)
        return 1;
    size_t need = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : 4;
    if (lead < 0xc2 || lead > 0xf4 || left < need)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (lead == 0xe0 && s[1] < 0xa0) || (lead == 0xed && s[1] > 0x9f) ||
               (lead == 0xf0 && s[1] < 0x90) || (lead == 0xf4 && s[1] > 0x8f);
    return bad ? 0 : need;
}

ptrdiff_t sb_utf8_check(const char *text, size_t bytes)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;
    while (i < bytes) {
        /* Eight ASCII bytes at once: most text is nothing else. */
        uint64_t word;
        if (bytes - i >= sizeof(word)) {
            memcpy(&word, s + i, sizeof(word));
            if (!(word & 0x8080808080808080u)) {
                i += sizeof(word);
                continue;
            }
        }
        size_t step = sequence_bytes(s + i, bytes - i);
        if (!step)
            return (ptrdiff_t)i;
        i += step;
    }
    return -1;
}
