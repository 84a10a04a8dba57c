/* The picture of a sweep: one mark a run, its interval as a bar, what it cost below. */
#include "sweep.h"

#include <math.h>
#include <string.h>

/* Places in units of the picture. */
enum {
    MARGIN_LEFT = 84,
    MARGIN_RIGHT = 36,
    TOP = 84,
    PLOT_HEIGHT = 260,
    BELOW = 132,
    COLUMN = 92,
    WIDTH_MIN = 560,
};

struct frame {
    double width, left, right, top, bottom; /* of the plot, but for width */
    double low, high, step;                 /* of the scores, at the lowest and highest line */
    size_t columns;
};

static void escape(struct sb_bytes *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '&')
            sb_bytes_append_text(out, "&amp;");
        else if (*p == '<')
            sb_bytes_append_text(out, "&lt;");
        else if (*p == '>')
            sb_bytes_append_text(out, "&gt;");
        else if (*p == '"')
            sb_bytes_append_text(out, "&quot;");
        else if (*p >= 0x20) /* XML has no other control characters */
            sb_bytes_append(out, p, 1);
    }
}

static void text_at(struct sb_bytes *out, double x, double y, const char *kind, const char *anchor,
                    const char *text)
{
    sb_bytes_printf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", kind, x, y,
                    anchor);
    escape(out, text);
    sb_bytes_append_text(out, "</text>\n");
}

/* 1, 2 or 5 times a power of ten, at least wanted. */
static double round_step(double wanted)
{
    double power = pow(10, floor(log10(wanted)));
    double times = wanted / power;
    return power * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

/* The range of scores in round numbers, at most about six lines. */
static void choose_range(struct frame *frame, const struct sb_sweep *sweep)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < sweep->count; i++) {
        const struct sb_scored *scored = &sweep->rows[i].scored;
        if (!isfinite(scored->value))
            continue;
        bool has = scored->interval.method != NULL;
        low = fmin(low, has ? fmin(scored->interval.low, scored->value) : scored->value);
        high = fmax(high, has ? fmax(scored->interval.high, scored->value) : scored->value);
    }
    if (!(low <= high))
        low = 0, high = 1;
    if (high - low < 1e-3 * fmax(fabs(high), 1e-3))
        low -= 0.02, high += 0.02;
    frame->step = round_step((high - low) / 5);
    frame->low = floor(low / frame->step + 1e-9) * frame->step;
    frame->high = ceil(high / frame->step - 1e-9) * frame->step;
}

static struct frame make_frame(const struct sb_sweep *sweep)
{
    struct frame frame = {.columns = sweep->count};
    frame.width = MARGIN_LEFT + MARGIN_RIGHT + (double)sweep->count * COLUMN;
    if (frame.width < WIDTH_MIN)
        frame.width = WIDTH_MIN;
    frame.left = MARGIN_LEFT;
    frame.right = frame.width - MARGIN_RIGHT;
    frame.top = TOP;
    frame.bottom = TOP + PLOT_HEIGHT;
    choose_range(&frame, sweep);
    return frame;
}

static double x_of(const struct frame *frame, size_t column)
{
    return frame->left +
           (frame->right - frame->left) * ((double)column + 0.5) / (double)frame->columns;
}

static double y_of(const struct frame *frame, double score)
{
    return frame->bottom -
           (frame->bottom - frame->top) * (score - frame->low) / (frame->high - frame->low);
}

static void draw_head(struct sb_bytes *out, const struct frame *frame, const struct sb_sweep *sweep)
{
    double height = frame->bottom + BELOW;
    char line[256];
    sb_bytes_printf(out,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
                    "width=\"%.0f\" height=\"%.0f\" role=\"img\">\n",
                    frame->width, height, frame->width, height);
    sb_bytes_append_text(out, "<title>Score over frozen layers</title>\n"
                              "<style>\n"
                              "text { font-family: 'DejaVu Sans', Verdana, Arial, sans-serif; }\n"
                              ".title { font-size: 17px; font-weight: bold; fill: #1b2733; }\n"
                              ".small { font-size: 11.5px; fill: #5b6b7a; }\n"
                              ".tick { font-size: 12.5px; fill: #1b2733; }\n"
                              ".value { font-size: 12.5px; font-weight: bold; fill: #134f7c; "
                              "stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; "
                              "paint-order: stroke; }\n"
                              ".grid { stroke: #dfe5ea; stroke-width: 1; }\n"
                              ".axis { stroke: #8595a3; stroke-width: 1.2; }\n"
                              ".bar { stroke: #2a7fbf; stroke-width: 2; }\n"
                              ".line { fill: none; stroke: #2a7fbf; stroke-width: 1.5; "
                              "stroke-dasharray: 5 4; opacity: 0.65; }\n"
                              ".mark { fill: #134f7c; stroke: #ffffff; stroke-width: 1.5; }\n"
                              "</style>\n");
    sb_bytes_printf(out, "<rect width=\"%.0f\" height=\"%.0f\" fill=\"#ffffff\"/>\n", frame->width,
                    height);
    const char *metric = sweep->rows[0].scored.metric;
    snprintf(line, sizeof(line), "%s over frozen layers", metric);
    text_at(out, 24, 32, "title", "start", line);
    snprintf(line, sizeof(line), "Validation split, %.0f examples; %s is better.",
             sweep->rows[0].scored.samples, sb_metric_is_loss(metric) ? "less" : "more");
    text_at(out, 24, 51, "small", "start", line);
    snprintf(line, sizeof(line), "%s.", sb_sweep_interval_words(sweep));
    text_at(out, 24, 67, "small", "start", line);
}

static void draw_grid(struct sb_bytes *out, const struct frame *frame)
{
    int digits = frame->step >= 1 ? 0 : (int)ceil(-log10(frame->step) - 1e-9);
    size_t lines = (size_t)lround((frame->high - frame->low) / frame->step);
    for (size_t i = 0; i <= lines; i++) {
        double score = frame->low + (double)i * frame->step, y = y_of(frame, score);
        char label[32];
        sb_bytes_printf(out,
                        "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                        i ? "grid" : "axis", frame->left, y, frame->right, y);
        snprintf(label, sizeof(label), "%.*f", digits, score);
        text_at(out, frame->left - 10, y + 4.5, "tick", "end", label);
    }
}

static void draw_interval(struct sb_bytes *out, double x, double high, double low)
{
    const double cap = 7;
    sb_bytes_printf(out,
                    "<path class=\"bar\" d=\"M%.1f %.1fH%.1fM%.1f %.1fV%.1fM%.1f %.1fH%.1f\"/>\n",
                    x - cap, high, x + cap, x, high, low, x - cap, low, x + cap);
}

static void draw_scores(struct sb_bytes *out, const struct frame *frame,
                        const struct sb_sweep *sweep)
{
    sb_bytes_append_text(out, "<polyline class=\"line\" points=\"");
    for (size_t i = 0; i < sweep->count; i++)
        if (isfinite(sweep->rows[i].scored.value))
            sb_bytes_printf(out, "%.1f,%.1f ", x_of(frame, i),
                            y_of(frame, sweep->rows[i].scored.value));
    sb_bytes_append_text(out, "\"/>\n");
    for (size_t i = 0; i < sweep->count; i++) {
        const struct sb_scored *scored = &sweep->rows[i].scored;
        if (!isfinite(scored->value))
            continue;
        double x = x_of(frame, i), y = y_of(frame, scored->value);
        char label[32];
        if (scored->interval.method)
            draw_interval(out, x, y_of(frame, scored->interval.high),
                          y_of(frame, scored->interval.low));
        sb_bytes_printf(out, "<circle class=\"mark\" cx=\"%.1f\" cy=\"%.1f\" r=\"5.5\"/>\n", x, y);
        snprintf(label, sizeof(label), "%.3f", scored->value);
        text_at(out, x + 11, y + 4.5, "value", "start", label);
    }
}

static void draw_costs(struct sb_bytes *out, const struct frame *frame,
                       const struct sb_sweep *sweep)
{
    double y = frame->bottom + 22;
    char text[64], number[24];
    for (size_t i = 0; i < sweep->count; i++) {
        const struct sb_sweep_row *row = &sweep->rows[i];
        double x = x_of(frame, i);
        text_at(out, x, y, "tick", "middle", row->label);
        snprintf(text, sizeof(text), "%s trained", sb_count_text(number, (double)row->trained));
        text_at(out, x, y + 42, "small", "middle", text);
        snprintf(text, sizeof(text), "%.1f s", row->scored.seconds);
        text_at(out, x, y + 58, "small", "middle", text);
        snprintf(text, sizeof(text), "%sB a step", sb_count_text(number, row->bytes_per_step));
        text_at(out, x, y + 74, "small", "middle", text);
    }
    text_at(out, (frame->left + frame->right) / 2, y + 20, "small", "middle",
            "frozen: the embeddings and this many layers from below; body: all but the head");
    text_at(out, (frame->left + frame->right) / 2, y + 98, "small", "middle",
            "parameters that are trained, seconds of the training, planned bytes of a step");
}

void sb_sweep_svg(struct sb_bytes *out, const struct sb_sweep *sweep)
{
    sb_assert(sweep->count > 0);
    struct frame frame = make_frame(sweep);
    sb_bytes_clear(out);
    draw_head(out, &frame, sweep);
    draw_grid(out, &frame);
    draw_scores(out, &frame, sweep);
    draw_costs(out, &frame, sweep);
    sb_bytes_append_text(out, "</svg>\n");
}
