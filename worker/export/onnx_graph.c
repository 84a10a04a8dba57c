#include "onnx_graph.h"

#include "arena.h"
#include "file.h"
#include "onnx_subset.pb-c.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 160, INPUTS_MAX = 8, ATTRIBUTES_MAX = 4 };

/* A matrix that is turned over before it is written. */
struct turn {
    float *data;
    size_t rows, cols;
};

struct sb_onnx {
    struct sb_arena arena; /* names and messages */
    Sb__Onnx__Graph graph;
    size_t node_capacity, tensor_capacity, input_capacity, output_capacity, turn_capacity;
    struct turn *turns;
    size_t turn_count;
    char scope[NAME_BYTES];
};

static void *take(struct sb_onnx *onnx, size_t bytes)
{
    return memset(sb_arena_take(&onnx->arena, bytes), 0, bytes);
}

static char *keep_text(struct sb_onnx *onnx, const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(sb_arena_take(&onnx->arena, bytes), text, bytes);
}

/* Room for one more pointer. */
static void *grown(void *list, size_t count, size_t *capacity, size_t element_bytes)
{
    if (count < *capacity)
        return list;
    *capacity = *capacity ? 2 * *capacity : 64;
    return sb_realloc(list, *capacity * element_bytes);
}

struct sb_onnx *sb_onnx_new(const char *name)
{
    struct sb_onnx *onnx = sb_calloc(1, sizeof(*onnx));
    sb_arena_init(&onnx->arena, 1 << 16);
    sb__onnx__graph__init(&onnx->graph);
    onnx->graph.name = keep_text(onnx, name);
    return onnx;
}

void sb_onnx_free(struct sb_onnx **onnx)
{
    if (!*onnx)
        return;
    free(((*onnx)->graph.node));
    free(((*onnx)->graph.initializer));
    free(((*onnx)->graph.input));
    free(((*onnx)->graph.output));
    free((*onnx)->turns);
    sb_arena_release(&(*onnx)->arena);
    free(*onnx);
    *onnx = NULL;
}

/* ---- inputs and outputs ---- */

static Sb__Onnx__Shape *new_shape(struct sb_onnx *onnx, const struct sb_onnx_dim *dims,
                                  size_t dim_count)
{
    Sb__Onnx__Shape *shape = take(onnx, sizeof(*shape));
    sb__onnx__shape__init(shape);
    shape->dim = take(onnx, dim_count * sizeof(*shape->dim));
    shape->n_dim = dim_count;
    for (size_t i = 0; i < dim_count; i++) {
        Sb__Onnx__Dimension *dim = take(onnx, sizeof(*dim));
        sb__onnx__dimension__init(dim);
        dim->dim_param = dims[i].name ? keep_text(onnx, dims[i].name) : NULL;
        dim->has_dim_value = !dims[i].name;
        dim->dim_value = dims[i].value;
        shape->dim[i] = dim;
    }
    return shape;
}

static Sb__Onnx__Value *new_value(struct sb_onnx *onnx, const char *name, Sb__Onnx__DataType type,
                                  const struct sb_onnx_dim *dims, size_t dim_count)
{
    Sb__Onnx__Value *value = take(onnx, sizeof(*value));
    sb__onnx__value__init(value);
    value->name = keep_text(onnx, name);
    value->type = take(onnx, sizeof(*value->type));
    sb__onnx__type__init(value->type);
    Sb__Onnx__TensorType *tensor = take(onnx, sizeof(*tensor));
    sb__onnx__tensor_type__init(tensor);
    tensor->has_elem_type = true;
    tensor->elem_type = type;
    tensor->shape = new_shape(onnx, dims, dim_count);
    value->type->tensor_type = tensor;
    return value;
}

const char *sb_onnx_input(struct sb_onnx *onnx, const char *name, const struct sb_onnx_dim *dims,
                          size_t dim_count)
{
    Sb__Onnx__Graph *graph = &onnx->graph;
    graph->input =
        grown(graph->input, graph->n_input, &onnx->input_capacity, sizeof(*graph->input));
    Sb__Onnx__Value *value = new_value(onnx, name, SB__ONNX__DATA_TYPE__INT64, dims, dim_count);
    graph->input[graph->n_input++] = value;
    return value->name;
}

/* Every use of a name is the same pointer. */
static void rename_value(struct sb_onnx *onnx, const char *from, char *to)
{
    for (size_t i = 0; i < onnx->graph.n_node; i++) {
        Sb__Onnx__Node *node = onnx->graph.node[i];
        for (size_t j = 0; j < node->n_input; j++)
            if (node->input[j] == from)
                node->input[j] = to;
        if (node->output[0] == from)
            node->output[0] = to;
    }
}

const char *sb_onnx_output(struct sb_onnx *onnx, const char *name, const char *value,
                           const struct sb_onnx_dim *dims, size_t dim_count)
{
    Sb__Onnx__Graph *graph = &onnx->graph;
    graph->output =
        grown(graph->output, graph->n_output, &onnx->output_capacity, sizeof(*graph->output));
    Sb__Onnx__Value *output = new_value(onnx, name, SB__ONNX__DATA_TYPE__FLOAT, dims, dim_count);
    graph->output[graph->n_output++] = output;
    rename_value(onnx, value, output->name);
    return output->name;
}

/* ---- weights and constants ---- */

static Sb__Onnx__Tensor *add_tensor(struct sb_onnx *onnx, const char *name, Sb__Onnx__DataType type,
                                    const size_t *dims, size_t dim_count, void *data, size_t bytes)
{
    Sb__Onnx__Graph *graph = &onnx->graph;
    Sb__Onnx__Tensor *tensor = take(onnx, sizeof(*tensor));
    sb__onnx__tensor__init(tensor);
    tensor->name = keep_text(onnx, name);
    tensor->has_data_type = true;
    tensor->data_type = type;
    tensor->dims = take(onnx, (dim_count + 1) * sizeof(*tensor->dims));
    tensor->n_dims = dim_count;
    for (size_t i = 0; i < dim_count; i++)
        tensor->dims[i] = (int64_t)dims[i];
    tensor->has_raw_data = true;
    tensor->raw_data = (ProtobufCBinaryData){.len = bytes, .data = data};
    graph->initializer = grown(graph->initializer, graph->n_initializer, &onnx->tensor_capacity,
                               sizeof(*graph->initializer));
    graph->initializer[graph->n_initializer++] = tensor;
    return tensor;
}

const char *sb_onnx_matrix(struct sb_onnx *onnx, const char *name, float *data, size_t rows,
                           size_t cols)
{
    return add_tensor(onnx, name, SB__ONNX__DATA_TYPE__FLOAT, (size_t[]){rows, cols}, 2, data,
                      rows * cols * sizeof(float))
        ->name;
}

const char *sb_onnx_transposed(struct sb_onnx *onnx, const char *name, float *data, size_t rows,
                               size_t cols)
{
    onnx->turns = grown(onnx->turns, onnx->turn_count, &onnx->turn_capacity, sizeof(*onnx->turns));
    onnx->turns[onnx->turn_count++] = (struct turn){.data = data, .rows = rows, .cols = cols};
    return sb_onnx_matrix(onnx, name, data, cols, rows);
}

const char *sb_onnx_vector(struct sb_onnx *onnx, const char *name, float *data, size_t count)
{
    return add_tensor(onnx, name, SB__ONNX__DATA_TYPE__FLOAT, &count, 1, data,
                      count * sizeof(float))
        ->name;
}

/* dim_count 0: a scalar; 1: a list. */
static const char *constant(struct sb_onnx *onnx, Sb__Onnx__DataType type, size_t dim_count,
                            const void *data, size_t count, size_t bytes)
{
    char name[NAME_BYTES];
    for (size_t i = 0; i < onnx->graph.n_initializer; i++) {
        const Sb__Onnx__Tensor *known = onnx->graph.initializer[i];
        if (!strncmp(known->name, "constant/", 9) && known->data_type == type &&
            known->n_dims == dim_count && known->raw_data.len == bytes &&
            !memcmp(known->raw_data.data, data, bytes))
            return known->name;
    }
    snprintf(name, sizeof(name), "constant/%zu", onnx->graph.n_initializer);
    void *copy = memcpy(sb_arena_take(&onnx->arena, bytes), data, bytes);
    return add_tensor(onnx, name, type, &count, dim_count, copy, bytes)->name;
}

const char *sb_onnx_float(struct sb_onnx *onnx, float value)
{
    return constant(onnx, SB__ONNX__DATA_TYPE__FLOAT, 0, &value, 1, sizeof(value));
}

const char *sb_onnx_int(struct sb_onnx *onnx, int64_t value)
{
    return constant(onnx, SB__ONNX__DATA_TYPE__INT64, 0, &value, 1, sizeof(value));
}

const char *sb_onnx_ints(struct sb_onnx *onnx, const int64_t *values, size_t count)
{
    return constant(onnx, SB__ONNX__DATA_TYPE__INT64, 1, values, count, count * sizeof(*values));
}

/* ---- nodes ---- */

void sb_onnx_scope(struct sb_onnx *onnx, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(onnx->scope, sizeof(onnx->scope), format, arguments);
    va_end(arguments);
    sb_assert(bytes >= 0 && (size_t)bytes < sizeof(onnx->scope));
}

const char *sb_onnx_node(struct sb_onnx *onnx, const char *op, const char *label, ...)
{
    Sb__Onnx__Graph *graph = &onnx->graph;
    Sb__Onnx__Node *node = take(onnx, sizeof(*node));
    char name[2 * NAME_BYTES];
    sb__onnx__node__init(node);
    snprintf(name, sizeof(name), "%s/%s", onnx->scope, label);
    node->name = keep_text(onnx, name);
    node->op_type = keep_text(onnx, op);
    node->input = take(onnx, INPUTS_MAX * sizeof(*node->input));
    va_list arguments;
    va_start(arguments, label);
    for (const char *input; (input = va_arg(arguments, const char *)) != NULL;) {
        sb_assert(node->n_input < INPUTS_MAX);
        node->input[node->n_input++] = (char *)(uintptr_t)input;
    }
    va_end(arguments);
    node->output = take(onnx, sizeof(*node->output));
    node->output[0] = keep_text(onnx, name);
    node->n_output = 1;
    node->attribute = take(onnx, ATTRIBUTES_MAX * sizeof(*node->attribute));
    graph->node = grown(graph->node, graph->n_node, &onnx->node_capacity, sizeof(*graph->node));
    graph->node[graph->n_node++] = node;
    return node->output[0];
}

static Sb__Onnx__Attribute *add_attribute(struct sb_onnx *onnx, const char *name,
                                          Sb__Onnx__Attribute__Type type)
{
    Sb__Onnx__Node *node = onnx->graph.node[onnx->graph.n_node - 1];
    Sb__Onnx__Attribute *attribute = take(onnx, sizeof(*attribute));
    sb_assert(node->n_attribute < ATTRIBUTES_MAX);
    sb__onnx__attribute__init(attribute);
    attribute->name = keep_text(onnx, name);
    attribute->has_type = true;
    attribute->type = type;
    return node->attribute[node->n_attribute++] = attribute;
}

void sb_onnx_attribute(struct sb_onnx *onnx, const char *name, int64_t value)
{
    Sb__Onnx__Attribute *attribute = add_attribute(onnx, name, SB__ONNX__ATTRIBUTE__TYPE__INT);
    attribute->has_i = true;
    attribute->i = value;
}

void sb_onnx_attribute_list(struct sb_onnx *onnx, const char *name, const int64_t *values,
                            size_t count)
{
    Sb__Onnx__Attribute *attribute = add_attribute(onnx, name, SB__ONNX__ATTRIBUTE__TYPE__INTS);
    attribute->ints = take(onnx, count * sizeof(*values));
    memcpy(attribute->ints, values, count * sizeof(*values));
    attribute->n_ints = count;
}

/* ---- writing ---- */

static void turn_over(const struct sb_onnx *onnx)
{
    size_t most = 0;
    for (size_t i = 0; i < onnx->turn_count; i++) {
        size_t count = onnx->turns[i].rows * onnx->turns[i].cols;
        most = count > most ? count : most;
    }
    float *copy = sb_alloc(most * sizeof(*copy));
    for (size_t i = 0; i < onnx->turn_count; i++) {
        const struct turn *turn = &onnx->turns[i];
        memcpy(copy, turn->data, turn->rows * turn->cols * sizeof(*copy));
        for (size_t row = 0; row < turn->rows; row++)
            for (size_t col = 0; col < turn->cols; col++)
                turn->data[col * turn->rows + row] = copy[row * turn->cols + col];
    }
    free(copy);
}

/* Packed bytes go to the file as they are made; protobuf holds none of them. */
struct file_sink {
    ProtobufCBuffer base;
    FILE *stream;
};

static void append_to_file(ProtobufCBuffer *buffer, size_t bytes, const uint8_t *data)
{
    /* The stream remembers a failure, and the commit asks for it. */
    fwrite(data, 1, bytes, ((struct file_sink *)buffer)->stream);
}

int sb_onnx_write(struct sb_onnx *onnx, const char *path, struct sb_err *err)
{
    Sb__Onnx__OperatorSet operators = SB__ONNX__OPERATOR_SET__INIT, *operator_sets[] = {&operators};
    operators.domain = keep_text(onnx, "");
    operators.has_version = true;
    operators.version = SB_ONNX_OPSET;
    Sb__Onnx__Model model = SB__ONNX__MODEL__INIT;
    model.has_ir_version = true;
    model.ir_version = SB_ONNX_IR_VERSION;
    model.producer_name = keep_text(onnx, "shardbert");
    model.producer_version = keep_text(onnx, SB_VERSION);
    model.graph = &onnx->graph;
    model.n_opset_import = 1;
    model.opset_import = operator_sets;

    size_t bytes = sb__onnx__model__get_packed_size(&model);
    if (bytes > SB_ONNX_BYTES_MAX)
        return sb_err_set(err, SB_ERR_DATA,
                          "'%s': the model takes %zu bytes, and an ONNX file holds %d at most: use "
                          "the model folder itself",
                          path, bytes, SB_ONNX_BYTES_MAX);
    turn_over(onnx);
    struct sb_file_writer writer = SB_FILE_WRITER_INIT;
    if (sb_file_writer_begin(&writer, path, err) < 0)
        return -1;
    struct file_sink sink = {.base = {.append = append_to_file}, .stream = writer.stream};
    sb__onnx__model__pack_to_buffer(&model, &sink.base);
    int rc = sb_file_writer_commit(&writer, err);
    sb_file_writer_abort(&writer);
    return rc;
}
