#include "torch_pickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Python's names that may be asked for. */
enum name { NAME_ORDERED_DICT, NAME_REBUILD_TENSOR, NAME_REBUILD_PARAMETER, NAME_STORAGE };

static const struct {
    const char *module, *name;
    enum sb_dtype dtype; /* of a storage */
    enum name meaning;
} names[] = {
    {"collections", "OrderedDict", 0, NAME_ORDERED_DICT},
    {"torch._utils", "_rebuild_tensor_v2", 0, NAME_REBUILD_TENSOR},
    {"torch._utils", "_rebuild_parameter", 0, NAME_REBUILD_PARAMETER},
    {"torch", "FloatStorage", SB_F32, NAME_STORAGE},
    {"torch", "HalfStorage", SB_F16, NAME_STORAGE},
    {"torch", "BFloat16Storage", SB_BF16, NAME_STORAGE},
    {"torch", "DoubleStorage", SB_F64, NAME_STORAGE},
    {"torch", "LongStorage", SB_I64, NAME_STORAGE},
    {"torch", "IntStorage", SB_I32, NAME_STORAGE},
    {"torch", "ShortStorage", SB_I16, NAME_STORAGE},
    {"torch", "CharStorage", SB_I8, NAME_STORAGE},
    {"torch", "ByteStorage", SB_U8, NAME_STORAGE},
    {"torch", "BoolStorage", SB_BOOL, NAME_STORAGE},
};
enum { NAME_COUNT = sizeof(names) / sizeof(names[0]) };

struct machine {
    struct sb_arena *arena;
    const char *path;
    const uint8_t *data;
    size_t bytes, at;
    struct sb_pickle_value **stack; /* a NULL is a mark */
    size_t depth, stack_capacity;
    struct sb_pickle_value **memo;
    size_t memo_capacity;
    struct sb_err *err;
};

static int refuse(struct machine *m, const char *why)
{
    sb_err_set(m->err, SB_ERR_DATA, "'%s': byte %zu of the pickle: %s", m->path, m->at, why);
    return -1;
}

/* ---- the stack ---- */

static struct sb_pickle_value *new_value(struct machine *m, enum sb_pickle_kind kind)
{
    struct sb_pickle_value *value = sb_arena_take(m->arena, sizeof(*value));
    memset(value, 0, sizeof(*value));
    value->kind = kind;
    return value;
}

static int push(struct machine *m, struct sb_pickle_value *value)
{
    if (m->depth == m->stack_capacity) {
        m->stack_capacity = m->stack_capacity ? 2 * m->stack_capacity : 256;
        m->stack = sb_realloc(m->stack, m->stack_capacity * sizeof(*m->stack));
    }
    m->stack[m->depth++] = value;
    return 0;
}

static int push_number(struct machine *m, enum sb_pickle_kind kind, int64_t number)
{
    struct sb_pickle_value *value = new_value(m, kind);
    value->number = number;
    return push(m, value);
}

/* The value on top, taken off; NULL, with a sentence, if there is none. */
static struct sb_pickle_value *pop(struct machine *m)
{
    if (m->depth == 0 || !m->stack[m->depth - 1]) {
        refuse(m, "a value is missing");
        return NULL;
    }
    return m->stack[--m->depth];
}

/* The first value above the topmost mark. */
static int above_mark(struct machine *m, size_t *first)
{
    size_t i = m->depth;
    while (i > 0 && m->stack[i - 1])
        i--;
    if (i == 0)
        return refuse(m, "a mark is missing");
    *first = i;
    return 0;
}

/* ---- reading operands ---- */

static int take_bytes(struct machine *m, const uint8_t **from, size_t count)
{
    if (count > m->bytes - m->at)
        return refuse(m, "it ends in the middle");
    *from = m->data + m->at;
    m->at += count;
    return 0;
}

/* Little-endian, count <= 8 bytes. */
static int take_unsigned(struct machine *m, uint64_t *value, size_t count)
{
    const uint8_t *from;
    *value = 0;
    if (take_bytes(m, &from, count) < 0)
        return -1;
    memcpy(value, from, count);
    return 0;
}

static int push_text(struct machine *m, size_t size_bytes)
{
    uint64_t bytes;
    const uint8_t *from;
    if (take_unsigned(m, &bytes, size_bytes) < 0 || take_bytes(m, &from, bytes) < 0)
        return -1;
    struct sb_pickle_value *value = new_value(m, SB_PICKLE_TEXT);
    value->text = (const char *)from;
    value->bytes = bytes;
    return push(m, value);
}

/* Two's complement, as many bytes as it needs. */
static int push_long(struct machine *m)
{
    uint64_t count, value;
    if (take_unsigned(m, &count, 1) < 0)
        return -1;
    if (count > 8)
        return refuse(m, "a number of more than 64 bits");
    if (take_unsigned(m, &value, count) < 0)
        return -1;
    if (count > 0 && count < 8 && value >> (8 * count - 1))
        value |= UINT64_MAX << (8 * count);
    return push_number(m, SB_PICKLE_INT, (int64_t)value);
}

static int take_line(struct machine *m, const char **text, size_t *bytes)
{
    const uint8_t *end = memchr(m->data + m->at, '\n', m->bytes - m->at);
    if (!end)
        return refuse(m, "it ends in the middle");
    *text = (const char *)m->data + m->at;
    *bytes = (size_t)(end - (m->data + m->at));
    m->at += *bytes + 1;
    return 0;
}

static bool same_text(const char *text, size_t bytes, const char *wanted)
{
    return bytes == strlen(wanted) && !memcmp(text, wanted, bytes);
}

bool sb_pickle_text_is(const struct sb_pickle_value *value, const char *text)
{
    return value->kind == SB_PICKLE_TEXT && same_text(value->text, value->bytes, text);
}

static int push_name(struct machine *m)
{
    const char *module, *name;
    size_t module_bytes, name_bytes;
    if (take_line(m, &module, &module_bytes) < 0 || take_line(m, &name, &name_bytes) < 0)
        return -1;
    for (int i = 0; i < NAME_COUNT; i++)
        if (same_text(module, module_bytes, names[i].module) &&
            same_text(name, name_bytes, names[i].name))
            return push_number(m, SB_PICKLE_NAME, i);
    return sb_err_set(m->err, SB_ERR_DATA,
                      "'%s': asks for Python's '%.*s.%.*s', which tensors do not need: refused",
                      m->path, module_bytes > 100 ? 100 : (int)module_bytes, module,
                      name_bytes > 100 ? 100 : (int)name_bytes, name);
}

/* ---- tuples, lists, dictionaries ---- */

/* The top count values become one tuple. */
static int push_tuple(struct machine *m, size_t count)
{
    struct sb_pickle_value *tuple = new_value(m, SB_PICKLE_TUPLE);
    if (count)
        tuple->tuple.items = sb_arena_array(m->arena, struct sb_pickle_value *, count);
    tuple->tuple.count = count;
    for (size_t i = count; i-- > 0;)
        if (!(tuple->tuple.items[i] = pop(m)))
            return -1;
    return push(m, tuple);
}

static int push_marked_tuple(struct machine *m)
{
    size_t first;
    if (above_mark(m, &first) < 0 || push_tuple(m, m->depth - first) < 0)
        return -1;
    m->stack[m->depth - 2] = m->stack[m->depth - 1]; /* over the mark */
    m->depth--;
    return 0;
}

static void append(struct machine *m, struct sb_pickle_value *to, struct sb_pickle_value *key,
                   struct sb_pickle_value *value)
{
    struct sb_pickle_item *item = sb_arena_take(m->arena, sizeof(*item));
    *item = (struct sb_pickle_item){.key = key, .value = value};
    if (to->list.last)
        to->list.last->next = item;
    else
        to->list.first = item;
    to->list.last = item;
}

/* The values from first on go into the list or dictionary below them (and below the mark). */
static int append_all(struct machine *m, enum sb_pickle_kind kind, size_t first, bool marked)
{
    size_t count = m->depth - first, below = first - marked;
    if (below == 0 || !m->stack[below - 1] || m->stack[below - 1]->kind != kind)
        return refuse(m, "items without a list or dictionary to go to");
    if (kind == SB_PICKLE_DICT && count % 2)
        return refuse(m, "a key without a value");
    struct sb_pickle_value *to = m->stack[below - 1];
    for (size_t i = first; i < m->depth; i += kind == SB_PICKLE_DICT ? 2 : 1) {
        if (kind == SB_PICKLE_DICT)
            append(m, to, m->stack[i], m->stack[i + 1]);
        else
            append(m, to, NULL, m->stack[i]);
    }
    m->depth = below;
    return 0;
}

static int append_marked(struct machine *m, enum sb_pickle_kind kind)
{
    size_t first;
    return above_mark(m, &first) < 0 ? -1 : append_all(m, kind, first, true);
}

static int append_top(struct machine *m, enum sb_pickle_kind kind)
{
    size_t count = kind == SB_PICKLE_DICT ? 2 : 1;
    for (size_t i = 0; i < count; i++)
        if (m->depth <= i || !m->stack[m->depth - 1 - i])
            return refuse(m, "a value is missing");
    return append_all(m, kind, m->depth - count, false);
}

/* What an ordered dictionary keeps beside its items (_metadata) is of no use here. */
static int drop_state(struct machine *m)
{
    if (!pop(m))
        return -1;
    if (m->depth == 0 || !m->stack[m->depth - 1] || m->stack[m->depth - 1]->kind != SB_PICKLE_DICT)
        return refuse(m, "a state for something that is no dictionary");
    return 0;
}

/* ---- the memo ---- */

static int keep(struct machine *m, size_t size_bytes)
{
    uint64_t index;
    if (take_unsigned(m, &index, size_bytes) < 0)
        return -1;
    /* Writers count from 0, one instruction each. */
    if (index >= m->bytes)
        return refuse(m, "a memo beyond its size");
    if (m->depth == 0 || !m->stack[m->depth - 1])
        return refuse(m, "a value is missing");
    if (index >= m->memo_capacity) {
        size_t capacity = index < 128 ? 256 : 2 * index;
        m->memo = sb_realloc(m->memo, capacity * sizeof(*m->memo));
        memset(m->memo + m->memo_capacity, 0, (capacity - m->memo_capacity) * sizeof(*m->memo));
        m->memo_capacity = capacity;
    }
    m->memo[index] = m->stack[m->depth - 1];
    return 0;
}

static int recall(struct machine *m, size_t size_bytes)
{
    uint64_t index;
    if (take_unsigned(m, &index, size_bytes) < 0)
        return -1;
    if (index >= m->memo_capacity || !m->memo[index])
        return refuse(m, "a memo that was not kept");
    return push(m, m->memo[index]);
}

/* ---- storages and tensors ---- */

static bool is_count(const struct sb_pickle_value *value)
{
    return value->kind == SB_PICKLE_INT && value->number >= 0;
}

static bool names_a(const struct sb_pickle_value *value, enum name meaning)
{
    return value->kind == SB_PICKLE_NAME && names[value->number].meaning == meaning;
}

/* ('storage', type, key, device, elements), and None at the end in the older format. */
static int push_storage(struct machine *m)
{
    const struct sb_pickle_value *id = pop(m);
    if (!id)
        return -1;
    struct sb_pickle_value **items = id->tuple.items;
    if (id->kind != SB_PICKLE_TUPLE || id->tuple.count < 5 || id->tuple.count > 6 ||
        !sb_pickle_text_is(items[0], "storage") || !names_a(items[1], NAME_STORAGE) ||
        items[2]->kind != SB_PICKLE_TEXT || !is_count(items[4]) ||
        (id->tuple.count == 6 && items[5]->kind != SB_PICKLE_NONE))
        return refuse(m, "something outside of the pickle that is no storage");
    struct sb_pickle_value *value = new_value(m, SB_PICKLE_STORAGE);
    value->storage.key = items[2];
    value->storage.dtype = names[items[1]->number].dtype;
    value->storage.element_count = (uint64_t)items[4]->number;
    return push(m, value);
}

/* Sizes, and strides that must be those of an array without gaps, last axis fastest. */
static int set_shape(struct machine *m, struct sb_pickle_value *tensor,
                     const struct sb_pickle_value *sizes, const struct sb_pickle_value *strides)
{
    if (sizes->kind != SB_PICKLE_TUPLE || strides->kind != SB_PICKLE_TUPLE ||
        sizes->tuple.count != strides->tuple.count)
        return refuse(m, "a tensor without a shape");
    if (sizes->tuple.count > SB_MAX_DIMS)
        return refuse(m, "a tensor with more than 8 axes");
    uint64_t count = 1;
    bool dense = true;
    tensor->tensor.dim_count = sizes->tuple.count;
    tensor->tensor.dims = sb_arena_array(m->arena, uint64_t, SB_MAX_DIMS);
    for (size_t i = sizes->tuple.count; i-- > 0;) {
        const struct sb_pickle_value *size = sizes->tuple.items[i];
        const struct sb_pickle_value *stride = strides->tuple.items[i];
        if (!is_count(size) || !is_count(stride))
            return refuse(m, "a tensor without a shape");
        dense = dense && (size->number <= 1 || (uint64_t)stride->number == count);
        tensor->tensor.dims[i] = (uint64_t)size->number;
        if (__builtin_mul_overflow(count, (uint64_t)size->number, &count))
            return refuse(m, "a tensor larger than memory");
    }
    uint64_t end, stored = tensor->tensor.storage->storage.element_count;
    if (!dense && count > 0)
        return refuse(m,
                      "a tensor that is a view with gaps or turned over: save a contiguous copy");
    if (__builtin_add_overflow(tensor->tensor.first, count, &end) || end > stored)
        return refuse(m, "a tensor that is larger than its storage");
    return 0;
}

/* (storage, first element, sizes, strides, requires_grad, hooks) and perhaps more. */
static int rebuild_tensor(struct machine *m, const struct sb_pickle_value *arguments)
{
    struct sb_pickle_value **items = arguments->tuple.items;
    if (arguments->tuple.count < 4 || items[0]->kind != SB_PICKLE_STORAGE || !is_count(items[1]))
        return refuse(m, "a tensor without a storage");
    struct sb_pickle_value *tensor = new_value(m, SB_PICKLE_TENSOR);
    tensor->tensor.storage = items[0];
    tensor->tensor.first = (uint64_t)items[1]->number;
    return set_shape(m, tensor, items[2], items[3]) < 0 ? -1 : push(m, tensor);
}

/* What Python would call; here each known name stands for a value to make. */
static int reduce(struct machine *m)
{
    struct sb_pickle_value *arguments = pop(m), *callee = arguments ? pop(m) : NULL;
    if (!callee)
        return -1;
    if (arguments->kind != SB_PICKLE_TUPLE || callee->kind != SB_PICKLE_NAME)
        return refuse(m, "a call of something that is no name");
    switch (names[callee->number].meaning) {
    case NAME_ORDERED_DICT:
        if (arguments->tuple.count)
            return refuse(m, "an OrderedDict with arguments");
        return push(m, new_value(m, SB_PICKLE_DICT));
    case NAME_REBUILD_TENSOR:
        return rebuild_tensor(m, arguments);
    case NAME_REBUILD_PARAMETER: /* (tensor, requires_grad, hooks) */
        if (arguments->tuple.count < 1 || arguments->tuple.items[0]->kind != SB_PICKLE_TENSOR)
            return refuse(m, "a parameter without a tensor");
        return push(m, arguments->tuple.items[0]);
    default:
        return refuse(m, "a call of a storage");
    }
}

/* ---- the instructions ---- */

static int refuse_instruction(struct machine *m, uint8_t instruction)
{
    char why[80];
    snprintf(why, sizeof(why), "instruction 0x%02x, which tensors do not need: refused",
             instruction);
    m->at--;
    return refuse(m, why);
}

static int push_int(struct machine *m, size_t bytes)
{
    uint64_t value;
    if (take_unsigned(m, &value, bytes) < 0)
        return -1;
    return push_number(m, SB_PICKLE_INT, bytes == 4 ? (int32_t)(uint32_t)value : (int64_t)value);
}

static int read_protocol(struct machine *m)
{
    uint64_t version;
    if (take_unsigned(m, &version, 1) < 0)
        return -1;
    return version == 2 ? 0 : refuse(m, "a pickle of another protocol than 2");
}

static int execute(struct machine *m, uint8_t instruction)
{
    switch (instruction) {
    case 0x80:
        return read_protocol(m);
    case '(':
        return push(m, NULL);
    case 'c':
        return push_name(m);
    case 'Q':
        return push_storage(m);
    case 'R':
        return reduce(m);
    case 'b':
        return drop_state(m);
    case 'N':
        return push(m, new_value(m, SB_PICKLE_NONE));
    case 0x88:
        return push_number(m, SB_PICKLE_BOOL, 1);
    case 0x89:
        return push_number(m, SB_PICKLE_BOOL, 0);
    case 'K':
        return push_int(m, 1);
    case 'M':
        return push_int(m, 2);
    case 'J':
        return push_int(m, 4);
    case 0x8a:
        return push_long(m);
    case 'X':
        return push_text(m, 4);
    case 'U':
        return push_text(m, 1); /* texts of Python 2 */
    case 'T':
        return push_text(m, 4);
    case ')':
        return push_tuple(m, 0);
    case 0x85:
        return push_tuple(m, 1);
    case 0x86:
        return push_tuple(m, 2);
    case 0x87:
        return push_tuple(m, 3);
    case 't':
        return push_marked_tuple(m);
    case ']':
        return push(m, new_value(m, SB_PICKLE_LIST));
    case 'a':
        return append_top(m, SB_PICKLE_LIST);
    case 'e':
        return append_marked(m, SB_PICKLE_LIST);
    case '}':
        return push(m, new_value(m, SB_PICKLE_DICT));
    case 's':
        return append_top(m, SB_PICKLE_DICT);
    case 'u':
        return append_marked(m, SB_PICKLE_DICT);
    case 'q':
        return keep(m, 1);
    case 'r':
        return keep(m, 4);
    case 'h':
        return recall(m, 1);
    case 'j':
        return recall(m, 4);
    default:
        return refuse_instruction(m, instruction);
    }
}

const struct sb_pickle_value *sb_pickle_run(struct sb_arena *arena, const char *path,
                                            const uint8_t *data, size_t bytes, size_t *used,
                                            struct sb_err *err)
{
    struct machine m = {.arena = arena, .path = path, .data = data, .bytes = bytes, .err = err};
    const struct sb_pickle_value *result = NULL;
    if (bytes > SB_PICKLE_MAX_BYTES)
        m.bytes = SB_PICKLE_MAX_BYTES;
    for (;;) {
        const uint8_t *instruction;
        if (take_bytes(&m, &instruction, 1) < 0)
            break;
        if (*instruction == '.') {
            result = pop(&m);
            break;
        }
        if (execute(&m, *instruction) < 0)
            break;
    }
    *used = m.at;
    free(m.stack);
    free(m.memo);
    return result;
}
