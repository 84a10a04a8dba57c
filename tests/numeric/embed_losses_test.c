#include "support.h"

#include "arrays.h"
#include "embed_losses.h"
#include "golden_doubles.h"
#include "real.h"

/* The group of the golden file: rows, pairs, anchors with their candidates. */
enum { N = 14, C = 19, PAIRS = 16, ANCHORS = 5, NEGATIVES = 4 };

static struct sb_safetensors file;
static struct sb_arena arena = SB_ARENA_INIT;
static float x[N * C], score[PAIRS], alike[PAIRS], lone[PAIRS];
static uint32_t first[PAIRS], second[PAIRS], triplets[3][PAIRS];
static int32_t classes[N];
static uint64_t texts[N];
static const uint32_t anchor[ANCHORS] = {0, 1, 2, 3, 4}, positive[ANCHORS] = {5, 6, 7, 8, 9};
static const uint32_t negative[NEGATIVES] = {10, 11, 12, 13};

static void read_floats(float *out, const char *name, size_t count)
{
    const struct sb_st_tensor *tensor = sb_safetensors_find(&file, name);
    sb_assert(tensor && tensor->element_count == count);
    sb_assert(sb_safetensors_floats(out, &file, tensor, NULL) == 0);
}

static void read_ints(int64_t *out, const char *name, size_t count)
{
    const struct sb_st_tensor *tensor = sb_safetensors_find(&file, name);
    sb_assert(tensor && tensor->element_count == count);
    sb_assert(sb_safetensors_ints(out, &file, tensor, NULL) == 0);
}

static int set_up(void **state)
{
    (void)state;
    struct sb_err err = SB_ERR_INIT;
    int64_t ints[3 * PAIRS];
    if (sb_safetensors_open(&file, "tests/golden/embed_losses_golden.safetensors", &err) < 0)
        return -1;
    read_floats(x, "x", N * C);
    read_floats(score, "score", PAIRS);
    read_floats(alike, "alike", PAIRS);
    read_floats(lone, "lone", PAIRS);
    read_ints(ints, "first", PAIRS);
    for (size_t k = 0; k < PAIRS; k++)
        first[k] = (uint32_t)ints[k];
    read_ints(ints, "second", PAIRS);
    for (size_t k = 0; k < PAIRS; k++)
        second[k] = (uint32_t)ints[k];
    read_ints(ints, "triplets", 3 * PAIRS);
    for (size_t k = 0; k < 3 * PAIRS; k++)
        triplets[k % 3][k / 3] = (uint32_t)ints[k];
    read_ints(ints, "classes", N);
    for (size_t i = 0; i < N; i++)
        classes[i] = (int32_t)ints[i];
    read_ints(ints, "texts", N);
    for (size_t i = 0; i < N; i++)
        texts[i] = (uint64_t)ints[i];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sb_safetensors_close(&file);
    sb_arena_release(&arena);
    return 0;
}

/* ---- the losses by name ---- */

enum kind {
    COSINE,
    CONTRASTIVE,
    ONLINE,
    ONLINE_LONE,
    COSENT,
    TRIPLET_COSINE,
    TRIPLET_EUCLIDEAN,
    HARD_COSINE,
    HARD_EUCLIDEAN,
    RANKING,
    RANKING_HARD,
    RANKING_DUPLICATES,
    KINDS
};

static const struct {
    const char *name;
    double targets;
} kinds[KINDS] = {
    [COSINE] = {"cosine", PAIRS},
    [CONTRASTIVE] = {"contrastive", PAIRS},
    [ONLINE] = {"online", 1},
    [ONLINE_LONE] = {"online_lone", 1},
    [COSENT] = {"cosent", 1},
    [TRIPLET_COSINE] = {"triplet_cosine", PAIRS},
    [TRIPLET_EUCLIDEAN] = {"triplet_euclidean", PAIRS},
    [HARD_COSINE] = {"hard_cosine", N},
    [HARD_EUCLIDEAN] = {"hard_euclidean", N},
    [RANKING] = {"ranking", ANCHORS},
    [RANKING_HARD] = {"ranking_hard", ANCHORS},
    [RANKING_DUPLICATES] = {"ranking_duplicates", ANCHORS},
};

static struct sb_embed_loss loss_of(enum kind kind, const float *rows, float *dx)
{
    const struct sb_embed_group group = {.x = rows, .dx = dx, .n = N, .C = C};
    struct sb_embed_pairs pairs = {first, second, alike, PAIRS};
    const struct sb_embed_triplets of_three = {triplets[0], triplets[1], triplets[2], PAIRS};
    struct sb_embed_ranking ranking = {.anchor = anchor, .positive = positive, .count = ANCHORS};
    sb_arena_reset(&arena);
    switch (kind) {
    case COSINE:
        pairs.gold = score;
        return sb_loss_cosine(&group, &arena, &pairs);
    case CONTRASTIVE:
        return sb_loss_contrastive(&group, &arena, &pairs, 0.5);
    case ONLINE_LONE:
        pairs.gold = lone;
        return sb_loss_online_contrastive(&group, &arena, &pairs, 0.5);
    case ONLINE:
        return sb_loss_online_contrastive(&group, &arena, &pairs, 0.5);
    case COSENT:
        pairs.gold = score;
        return sb_loss_cosent(&group, &arena, &pairs, 20.0);
    case TRIPLET_COSINE:
        return sb_loss_triplet(&group, &arena, &of_three, SB_EMBED_COSINE, 0.25);
    case TRIPLET_EUCLIDEAN:
        return sb_loss_triplet(&group, &arena, &of_three, SB_EMBED_EUCLIDEAN, 1.0);
    case HARD_COSINE:
        return sb_loss_batch_hard(&group, &arena, classes, SB_EMBED_COSINE, 0.25);
    case HARD_EUCLIDEAN:
        return sb_loss_batch_hard(&group, &arena, classes, SB_EMBED_EUCLIDEAN, 5.0);
    case RANKING_DUPLICATES:
        ranking.texts = texts; /* fall through */
    case RANKING_HARD:
        ranking.negative = negative;
        ranking.negative_count = NEGATIVES; /* fall through */
    default:
        return sb_loss_ranking(&group, &arena, &ranking, 20.0);
    }
}

static void losses_and_gradients_are_those_of_pytorch(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        float dx[N * C] = {0};
        char name[64];
        struct sb_embed_loss loss = loss_of(kind, x, dx);
        snprintf(name, sizeof(name), "%s.dx", kinds[kind].name);
        double expected = sb_golden_number(&file, kinds[kind].name);
        double *gradient = sb_golden_doubles(&file, name, N * C), largest = 0;
        for (size_t i = 0; i < N * C; i++)
            largest = fabs(gradient[i]) > largest ? fabs(gradient[i]) : largest;
        double worst = sb_test_worst(dx, gradient, N * C) / largest;
        print_message("%-18s loss %.1e, gradient %.1e off\n", kinds[kind].name,
                      fabs(loss.loss - expected) / expected, worst);
        assert_true(fabs(loss.loss - expected) < 1e-13 * expected);
        assert_true(worst < 1e-7);
        assert_true(loss.targets == kinds[kind].targets);
        free(gradient);
    }
}

/* (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h: an error of h^4. */
static void gradients_are_finite_differences(void **state)
{
    (void)state;
    const float h = 0x1p-14f;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        float dx[N * C] = {0}, rows[N * C];
        double worst = 0;
        loss_of(kind, x, dx);
        memcpy(rows, x, sizeof(x));
        for (size_t i = 0; i < N * C; i++) {
            /* On a grid of 2^-16 the steps are exact, and so is the point between them. */
            double f[4];
            rows[i] = roundf(x[i] * 65536.0f) / 65536.0f;
            float at = rows[i], there[N * C] = {0};
            loss_of(kind, rows, there);
            const float steps[4] = {-2 * h, -h, h, 2 * h};
            for (int s = 0; s < 4; s++) {
                rows[i] = at + steps[s];
                f[s] = loss_of(kind, rows, NULL).loss;
            }
            double slope = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * (double)h);
            double near = (f[2] - f[1]) / (2 * (double)h);
            double off = fabs(slope - (double)there[i]), off_near = fabs(near - (double)there[i]);
            /* The outer two may lie behind a place where another row becomes the hardest. */
            off = off < off_near ? off : off_near;
            worst = off > worst ? off : worst;
            rows[i] = x[i];
        }
        print_message("%-18s %.1e off\n", kinds[kind].name, worst);
        assert_true(worst < 2e-6);
    }
}

/* ---- what holds without a golden file ---- */

static void gradients_are_added_and_not_needed(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        float once[N * C] = {0}, twice[N * C] = {0};
        struct sb_embed_loss with = loss_of(kind, x, once), without = loss_of(kind, x, NULL);
        assert_true(with.loss == without.loss && with.targets == without.targets);
        loss_of(kind, x, twice);
        loss_of(kind, x, twice);
        for (size_t i = 0; i < N * C; i++)
            assert_true(twice[i] == 2 * once[i]);
    }
}

/* Nothing but the rows, in their order, is in the result: neither the arena nor what lay in it. */
static void the_same_group_gives_the_same_bits(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        float one[N * C] = {0}, two[N * C] = {0};
        struct sb_embed_loss a = loss_of(kind, x, one);
        sb_arena_reset(&arena);
        memset(sb_arena_take(&arena, 100000), 0xff, 100000);
        struct sb_embed_loss b = loss_of(kind, x, two);
        assert_memory_equal(&a, &b, sizeof(a));
        assert_memory_equal(one, two, sizeof(one));
    }
}

/* Every cosine loss is blind to lengths, so its gradient is across each vector. */
static void cosine_losses_do_not_see_lengths(void **state)
{
    (void)state;
    static const enum kind cosine_kinds[] = {COSINE,         CONTRASTIVE, ONLINE,
                                             COSENT,         HARD_COSINE, RANKING_DUPLICATES,
                                             TRIPLET_COSINE, ONLINE_LONE};
    float longer[N * C], dx[N * C];
    for (size_t i = 0; i < N * C; i++)
        longer[i] = x[i] * (float)(1 << (i / C % 5));
    for (size_t k = 0; k < sizeof(cosine_kinds) / sizeof(cosine_kinds[0]); k++) {
        memset(dx, 0, sizeof(dx));
        double loss = loss_of(cosine_kinds[k], x, dx).loss;
        assert_true(fabs(loss_of(cosine_kinds[k], longer, NULL).loss - loss) < 1e-13 * loss);
        for (size_t r = 0; r < N; r++) {
            double along = 0;
            for (size_t c = 0; c < C; c++)
                along += (double)dx[r * C + c] * (double)x[r * C + c];
            assert_true(fabs(along) < 1e-5);
        }
    }
}

static void a_vector_of_zeros_has_no_gradient(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        float rows[N * C], dx[N * C] = {0};
        memcpy(rows, x, sizeof(x));
        memset(rows + 2 * C, 0, C * sizeof(*rows));
        memset(rows + 7 * C, 0, C * sizeof(*rows)); /* 2 and 7 are at one place */
        struct sb_embed_loss loss = loss_of(kind, rows, dx);
        assert_true(isfinite(loss.loss));
        for (size_t i = 0; i < N * C; i++)
            assert_true(isfinite(dx[i]));
        if (kind != TRIPLET_EUCLIDEAN && kind != HARD_EUCLIDEAN)
            for (size_t c = 0; c < C; c++)
                assert_true(dx[2 * C + c] == 0 && dx[7 * C + c] == 0);
    }
}

/* Two copies of a pair of texts: neither is the other's negative, so nothing is left to learn. */
static void duplicated_texts_are_not_negatives(void **state)
{
    (void)state;
    const uint32_t a[2] = {0, 1}, p[2] = {2, 3}, same_rows[2] = {0, 0}, same_p[2] = {2, 2};
    const struct {
        uint64_t texts[4];
        double allowed_loss; /* 0: all masked */
        bool masked;
    } cases[] = {
        {{1, 2, 3, 3}, 0, true},  /* the same positive */
        {{1, 1, 2, 3}, 0, true},  /* the same anchor */
        {{1, 2, 2, 1}, 0, true},  /* the other's positive is this anchor */
        {{1, 2, 3, 4}, 0, false}, /* all differ */
    };
    const struct sb_embed_group group = {.x = x, .n = 4, .C = C};
    for (size_t i = 0; i < 4; i++) {
        struct sb_embed_ranking ranking = {
            .anchor = a, .positive = p, .count = 2, .texts = cases[i].texts};
        sb_arena_reset(&arena);
        double loss = sb_loss_ranking(&group, &arena, &ranking, 20).loss;
        assert_true(cases[i].masked ? loss == 0 : loss > 1e-6);
    }
    struct sb_embed_ranking ranking = {.anchor = same_rows, .positive = same_p, .count = 2};
    assert_true(sb_loss_ranking(&group, &arena, &ranking, 20).loss == 0);
}

static void an_anchor_alone_makes_no_triplet(void **state)
{
    (void)state;
    const struct sb_embed_group group = {.x = x, .n = 5, .C = C};
    const int32_t alone[5] = {0, 1, 1, -1, -1}, all_alike[5] = {2, 2, 2, 2, 2};
    const uint32_t a[2] = {1, 2}, p[2] = {2, 1}, n[2] = {0, 0};
    const struct sb_embed_triplets same = {a, p, n, 2};
    struct sb_embed_loss hard = sb_loss_batch_hard(&group, &arena, alone, SB_EMBED_EUCLIDEAN, 5.0);
    struct sb_embed_loss listed = sb_loss_triplet(&group, &arena, &same, SB_EMBED_EUCLIDEAN, 5.0);
    assert_true(hard.targets == 2 && hard.loss == listed.loss && hard.loss > 0);
    hard = sb_loss_batch_hard(&group, &arena, all_alike, SB_EMBED_COSINE, 5.0);
    assert_true(hard.targets == 0 && hard.loss == 0);
}

static void empty_groups_are_nothing(void **state)
{
    (void)state;
    const struct sb_embed_group group = {.x = x, .n = 0, .C = C};
    const struct sb_embed_pairs pairs = {.count = 0};
    const struct sb_embed_ranking ranking = {.count = 0};
    struct sb_embed_loss losses[] = {
        sb_loss_cosine(&group, &arena, &pairs),
        sb_loss_contrastive(&group, &arena, &pairs, 0.5),
        sb_loss_online_contrastive(&group, &arena, &pairs, 0.5),
        sb_loss_cosent(&group, &arena, &pairs, 20),
        sb_loss_batch_hard(&group, &arena, NULL, SB_EMBED_COSINE, 1),
        sb_loss_ranking(&group, &arena, &ranking, 20),
    };
    for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++)
        assert_true(losses[i].loss == 0 && losses[i].targets == 0);
}

static void exp_in_double_is_exact_to_its_last_bits(void **state)
{
    (void)state;
    struct sb_rng rng = sb_rng_key(6, SB_RNG_SAMPLE, 0);
    long double worst = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        uint32_t words[4];
        sb_rng_draw(&rng, i, 0, 0, words);
        double at = (2 * sb_rng_unit(words[0]) - 1) * (i % 2 ? 707.0 : 3.0);
        long double truth = expl((long double)at);
        long double off = fabsl(((long double)sb_exp_double_inline(at) - truth) / truth);
        worst = off > worst ? off : worst;
    }
    print_message("%.1Le of the value\n", worst);
    assert_true(worst < 3e-16L);
    assert_true(sb_exp_double_inline(0) == 1 && sb_exp_double_inline(-709) == 0);
    assert_true(sb_exp_double_inline(-INFINITY) == 0);
    assert_true(isinf(sb_exp_double_inline(710)) && isnan(sb_exp_double_inline(NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_are_those_of_pytorch),
        cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(gradients_are_added_and_not_needed),
        cmocka_unit_test(the_same_group_gives_the_same_bits),
        cmocka_unit_test(cosine_losses_do_not_see_lengths),
        cmocka_unit_test(a_vector_of_zeros_has_no_gradient),
        cmocka_unit_test(duplicated_texts_are_not_negatives),
        cmocka_unit_test(an_anchor_alone_makes_no_triplet),
        cmocka_unit_test(empty_groups_are_nothing),
        cmocka_unit_test(exp_in_double_is_exact_to_its_last_bits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
