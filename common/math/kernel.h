/*
 * How the arithmetic kernels are compiled.
 *
 * SB_KERNEL marks a function of which the compiler makes one clone per instruction set; the loader
 * takes the best one that the processor has.  All clones give the same bits: the source fixes the
 * order of every sum (SB_LANES partial sums, folded by sb_fold_lanes), the compiler may neither
 * contract nor reorder, and every operation used is correctly rounded.  What an SB_KERNEL calls in
 * its loops is SB_INLINE, so that it becomes part of the clone.
 *
 * Sanitizers do not get along with the loader's choice (it runs before they are ready).  A build
 * may define SB_KERNEL itself, for instance as nothing, to see that the clones agree.
 */
#ifndef SB_KERNEL_H
#define SB_KERNEL_H

#if defined(SB_KERNEL)
/* as the build says */
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SB_KERNEL
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SB_KERNEL __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SB_KERNEL
#endif

#define SB_INLINE static inline __attribute__((always_inline))

enum { SB_LANES = 16 };

/* ((0+8)+(4+12)) + ... : halves are added until one is left. */
SB_INLINE double sb_fold_lanes(double lane[SB_LANES])
{
    for (int half = SB_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

SB_INLINE float sb_fold_lanes_max(float lane[SB_LANES])
{
    for (int half = SB_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
    return lane[0];
}

#endif
