#include "gemm_ref.h"

static double a_at(const struct sb_gemm *g, size_t i, size_t k)
{
    size_t stride = g->a_stride > 0 ? g->a_stride : g->kind == SB_GEMM_TN ? g->M : g->K;
    return g->kind == SB_GEMM_TN ? g->a[k * stride + i] : g->a[i * stride + k];
}

static double b_at(const struct sb_gemm *g, size_t k, size_t j)
{
    size_t stride = g->b_stride > 0 ? g->b_stride : g->kind == SB_GEMM_NT ? g->K : g->N;
    return g->kind == SB_GEMM_NT ? g->b[j * stride + k] : g->b[k * stride + j];
}

void sb_gemm_ref(const struct sb_gemm *g)
{
    size_t stride = g->out_stride > 0 ? g->out_stride : g->N;
    for (size_t i = 0; i < g->M; i++)
        for (size_t j = 0; j < g->N; j++) {
            double sum = 0;
            for (size_t k = 0; k < g->K; k++)
                sum += a_at(g, i, k) * b_at(g, k, j);
            sum *= g->scale == 0 ? 1.0 : (double)g->scale;
            sum += g->bias != NULL ? (double)g->bias[j] : 0.0;
            float *out = &g->out[i * stride + j];
            *out = (float)(sum + (g->add ? (double)*out : 0.0));
        }
}
