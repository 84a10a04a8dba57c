#include "wordpiece_unicode.h"

#include <stddef.h>
#include <utf8proc.h>

struct difference {
    int32_t first, last;
    uint8_t classes; /* that are the other way round from utf8proc's */
};

/* Mostly punctuation and marks that came after Unicode 8. */
#define P SB_CHAR_PUNCT
#define M SB_CHAR_MARK
#define C SB_CHAR_CONTROL
static const struct difference differences[] = {
    {0x61d, 0x61d, P},     {0x7fd, 0x7fd, M},         {0x890, 0x891, C},     {0x898, 0x89f, M},
    {0x8ca, 0x8e1, M},     {0x8e2, 0x8e2, C},         {0x9fd, 0x9fd, P},     {0x9fe, 0x9fe, M},
    {0xa76, 0xa76, P},     {0xafa, 0xaff, M},         {0xb55, 0xb55, M},     {0xc04, 0xc04, M},
    {0xc3c, 0xc3c, M},     {0xc77, 0xc77, P},         {0xc84, 0xc84, P},     {0xd00, 0xd00, M},
    {0xd3b, 0xd3c, M},     {0xd81, 0xd81, M},         {0xeba, 0xeba, M},     {0xece, 0xece, M},
    {0x166d, 0x166d, P},   {0x1734, 0x1734, M},       {0x180f, 0x180f, M},   {0x1885, 0x1886, M},
    {0x1abf, 0x1ace, M},   {0x1b7d, 0x1b7e, P},       {0x1df6, 0x1dfb, M},   {0x2e43, 0x2e4f, P},
    {0x2e52, 0x2e5d, P},   {0xa82c, 0xa82c, M},       {0xa8c5, 0xa8c5, M},   {0xa8ff, 0xa8ff, M},
    {0xa9bd, 0xa9bd, M},   {0x10d24, 0x10d27, M},     {0x10eab, 0x10eac, M}, {0x10ead, 0x10ead, P},
    {0x10efd, 0x10eff, M}, {0x10f46, 0x10f50, M},     {0x10f55, 0x10f59, P}, {0x10f82, 0x10f85, M},
    {0x10f86, 0x10f89, P}, {0x11070, 0x11070, M},     {0x11073, 0x11074, M}, {0x110c2, 0x110c2, M},
    {0x110cd, 0x110cd, C}, {0x111c9, 0x111c9, M | P}, {0x111cf, 0x111cf, M}, {0x1123e, 0x1123e, M},
    {0x11241, 0x11241, M}, {0x1133b, 0x1133b, M},     {0x11438, 0x1143f, M}, {0x11442, 0x11444, M},
    {0x11446, 0x11446, M}, {0x1144b, 0x1144f, P},     {0x1145a, 0x1145b, P}, {0x1145d, 0x1145d, P},
    {0x1145e, 0x1145e, M}, {0x11660, 0x1166c, P},     {0x116b9, 0x116b9, P}, {0x1182f, 0x11837, M},
    {0x11839, 0x1183a, M}, {0x1183b, 0x1183b, P},     {0x1193b, 0x1193c, M}, {0x1193e, 0x1193e, M},
    {0x11943, 0x11943, M}, {0x11944, 0x11946, P},     {0x119d4, 0x119d7, M}, {0x119da, 0x119db, M},
    {0x119e0, 0x119e0, M}, {0x119e2, 0x119e2, P},     {0x11a01, 0x11a0a, M}, {0x11a33, 0x11a38, M},
    {0x11a3b, 0x11a3e, M}, {0x11a3f, 0x11a46, P},     {0x11a47, 0x11a47, M}, {0x11a51, 0x11a56, M},
    {0x11a59, 0x11a5b, M}, {0x11a8a, 0x11a96, M},     {0x11a98, 0x11a99, M}, {0x11a9a, 0x11a9c, P},
    {0x11a9e, 0x11aa2, P}, {0x11b00, 0x11b09, P},     {0x11c30, 0x11c36, M}, {0x11c38, 0x11c3d, M},
    {0x11c3f, 0x11c3f, M}, {0x11c41, 0x11c45, P},     {0x11c70, 0x11c71, P}, {0x11c92, 0x11ca7, M},
    {0x11caa, 0x11cb0, M}, {0x11cb2, 0x11cb3, M},     {0x11cb5, 0x11cb6, M}, {0x11d31, 0x11d36, M},
    {0x11d3a, 0x11d3a, M}, {0x11d3c, 0x11d3d, M},     {0x11d3f, 0x11d45, M}, {0x11d47, 0x11d47, M},
    {0x11d90, 0x11d91, M}, {0x11d95, 0x11d95, M},     {0x11d97, 0x11d97, M}, {0x11ef3, 0x11ef4, M},
    {0x11ef7, 0x11ef8, P}, {0x11f00, 0x11f01, M},     {0x11f36, 0x11f3a, M}, {0x11f40, 0x11f40, M},
    {0x11f42, 0x11f42, M}, {0x11f43, 0x11f4f, P},     {0x11fff, 0x11fff, P}, {0x12ff1, 0x12ff2, P},
    {0x13430, 0x1343f, C}, {0x13440, 0x13440, M},     {0x13447, 0x13455, M}, {0x16e97, 0x16e9a, P},
    {0x16f4f, 0x16f4f, M}, {0x16fe2, 0x16fe2, P},     {0x16fe4, 0x16fe4, M}, {0x1cf00, 0x1cf2d, M},
    {0x1cf30, 0x1cf46, M}, {0x1e000, 0x1e006, M},     {0x1e008, 0x1e018, M}, {0x1e01b, 0x1e021, M},
    {0x1e023, 0x1e024, M}, {0x1e026, 0x1e02a, M},     {0x1e08f, 0x1e08f, M}, {0x1e130, 0x1e136, M},
    {0x1e2ae, 0x1e2ae, M}, {0x1e2ec, 0x1e2ef, M},     {0x1e4ec, 0x1e4ef, M}, {0x1e944, 0x1e94a, M},
    {0x1e95e, 0x1e95f, P},
};
#undef P
#undef M
#undef C

/* Marks that came later still: they have no combining class yet, and nothing is sorted across them.
 */
static const struct difference starters[] = {
    {0x7fd, 0x7fd, 0},     {0x898, 0x89f, 0},     {0x8ca, 0x8d3, 0},     {0x9fe, 0x9fe, 0},
    {0xc3c, 0xc3c, 0},     {0xd3b, 0xd3c, 0},     {0xeba, 0xeba, 0},     {0x1715, 0x1715, 0},
    {0x1abf, 0x1ace, 0},   {0x1df6, 0x1dfa, 0},   {0xa82c, 0xa82c, 0},   {0x10d24, 0x10d27, 0},
    {0x10eab, 0x10eac, 0}, {0x10efd, 0x10eff, 0}, {0x10f46, 0x10f50, 0}, {0x10f82, 0x10f85, 0},
    {0x11070, 0x11070, 0}, {0x1133b, 0x1133b, 0}, {0x1145e, 0x1145e, 0}, {0x11839, 0x1183a, 0},
    {0x1193d, 0x1193e, 0}, {0x11943, 0x11943, 0}, {0x119e0, 0x119e0, 0}, {0x11a34, 0x11a34, 0},
    {0x11a47, 0x11a47, 0}, {0x11a99, 0x11a99, 0}, {0x11d42, 0x11d42, 0}, {0x11d44, 0x11d45, 0},
    {0x11d97, 0x11d97, 0}, {0x11f41, 0x11f42, 0}, {0x16ff0, 0x16ff1, 0}, {0x1e08f, 0x1e08f, 0},
    {0x1e130, 0x1e136, 0}, {0x1e2ae, 0x1e2ae, 0}, {0x1e2ec, 0x1e2ef, 0}, {0x1e4ec, 0x1e4ef, 0},
};

struct lower_rule {
    int32_t first, last;
    int32_t to; /* what first becomes; those behind it follow in step */
};

/* Capitals that came after Unicode 15. */
static const struct lower_rule lower_rules[] = {
    {0x1c89, 0x1c89, 0x1c8a},    {0xa7cb, 0xa7cb, 0x264},  {0xa7cc, 0xa7cc, 0xa7cd},
    {0xa7ce, 0xa7ce, 0xa7cf},    {0xa7d2, 0xa7d2, 0xa7d3}, {0xa7d4, 0xa7d4, 0xa7d5},
    {0xa7da, 0xa7da, 0xa7db},    {0xa7dc, 0xa7dc, 0x19b},  {0x10d50, 0x10d65, 0x10d70},
    {0x16ea0, 0x16eb8, 0x16ebb},
};

/* The row that c is in, or NULL. */
static const struct difference *find_row(const struct difference *rows, size_t count, int32_t c)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > rows[middle].last)
            low = middle + 1;
        else if (c < rows[middle].first)
            high = middle;
        else
            return &rows[middle];
    }
    return NULL;
}

static uint8_t difference_of(int32_t c)
{
    const struct difference *row =
        find_row(differences, sizeof(differences) / sizeof(differences[0]), c);
    return row ? row->classes : 0;
}

static bool within(int32_t c, int32_t first, int32_t last)
{
    return c >= first && c <= last;
}

/* Extension E starts at U+2B820; their list has U+2B920, and so has ours. */
static bool is_chinese(int32_t c)
{
    return within(c, 0x4e00, 0x9fff) || within(c, 0x3400, 0x4dbf) || within(c, 0x20000, 0x2a6df) ||
           within(c, 0x2a700, 0x2b73f) || within(c, 0x2b740, 0x2b81f) ||
           within(c, 0x2b920, 0x2ceaf) || within(c, 0xf900, 0xfaff) || within(c, 0x2f800, 0x2fa1f);
}

static bool is_ascii_punctuation(int32_t c)
{
    return within(c, '!', '/') || within(c, ':', '@') || within(c, '[', '`') || within(c, '{', '~');
}

static uint8_t classes_of_category(utf8proc_propval_t category)
{
    switch (category) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
        return SB_CHAR_CONTROL;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return SB_CHAR_SPACE;
    case UTF8PROC_CATEGORY_MN:
        return SB_CHAR_MARK;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return SB_CHAR_PUNCT;
    default:
        return 0;
    }
}

uint8_t sb_char_classes(int32_t c)
{
    uint8_t classes = classes_of_category(utf8proc_get_property(c)->category) ^ difference_of(c);
    if (is_ascii_punctuation(c))
        classes |= SB_CHAR_PUNCT;
    if (within(c, 0x9, 0xd) || c == 0x85)
        classes |= SB_CHAR_SPACE;
    if (c == '\t' || c == '\n' || c == '\r')
        classes &= (uint8_t)~SB_CHAR_CONTROL;
    if (c == 0 || c == 0xfffd)
        classes |= SB_CHAR_CONTROL;
    if (is_chinese(c))
        classes |= SB_CHAR_CHINESE;
    return classes;
}

uint8_t sb_char_combining(int32_t c)
{
    uint8_t combining = (uint8_t)utf8proc_get_property(c)->combining_class;
    if (combining && find_row(starters, sizeof(starters) / sizeof(starters[0]), c))
        return 0;
    return combining;
}

int sb_char_decompose(int32_t c, int32_t out[SB_MAX_DECOMPOSED])
{
    int boundary = 0;
    utf8proc_ssize_t count = -1;
    if (c != 0x11938) /* decomposes since Unicode 13 */
        count = utf8proc_decompose_char(c, out, SB_MAX_DECOMPOSED, UTF8PROC_DECOMPOSE, &boundary);
    if (count >= 1 && count <= SB_MAX_DECOMPOSED)
        return (int)count;
    out[0] = c;
    return 1;
}

int sb_char_lower(int32_t c, int32_t out[2])
{
    if (c == 0x130) { /* the one capital whose small letter is two characters */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = utf8proc_tolower(c);
    if (out[0] == c && c >= lower_rules[0].first) {
        for (size_t i = 0; i < sizeof(lower_rules) / sizeof(lower_rules[0]); i++)
            if (within(c, lower_rules[i].first, lower_rules[i].last))
                out[0] = lower_rules[i].to + (c - lower_rules[i].first);
    }
    return 1;
}

int32_t sb_char_next(const char **at, const char *end)
{
    utf8proc_int32_t c = 0;
    utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)*at, end - *at, &c);
    if (bytes <= 0) {
        *at += 1;
        return 0xfffd;
    }
    *at += bytes;
    return c;
}

int sb_char_put(char *out, int32_t c)
{
    return (int)utf8proc_encode_char(c, (utf8proc_uint8_t *)out);
}
