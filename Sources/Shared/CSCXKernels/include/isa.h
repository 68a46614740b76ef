#ifndef CSCX_ISA_H
#define CSCX_ISA_H

/// Instruction sets that kernels exist for, in rising order on each processor family.
typedef enum cscx_isa {
    cscx_isa_generic = 0,     ///< Plain C.
    cscx_isa_neon = 1,        ///< arm64: Advanced SIMD.
    cscx_isa_avx2 = 2,        ///< x86-64: AVX2, FMA and F16C.
    cscx_isa_avx512 = 3,      ///< x86-64: AVX-512 F, BW, DQ, VL and VNNI.
    cscx_isa_avx512bf16 = 4,  ///< x86-64: the same with BF16.
} cscx_isa;

/// The best instruction set that this processor and its operating system support.
cscx_isa cscx_detect_isa(void);

#endif
