#ifndef CSCX_BLOCKS_H
#define CSCX_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

/// The formats of GGUF files in which a few successive numbers of a row are stored together, by ggml's names.
///
/// The layouts are those of ggml-common.h in <https://github.com/ggml-org/ggml>. Formats whose name ends with K, and
/// iq4_xs, have blocks of 256 numbers, the others of 32.
typedef enum cscx_block {
    cscx_block_q4_0 = 0,
    cscx_block_q4_1,
    cscx_block_q5_0,
    cscx_block_q5_1,
    cscx_block_q8_0,
    cscx_block_q2_k,
    cscx_block_q3_k,
    cscx_block_q4_k,
    cscx_block_q5_k,
    cscx_block_q6_k,
    cscx_block_iq4_nl,
    cscx_block_iq4_xs,
    cscx_block_mxfp4,
} cscx_block;

/// How many numbers a block holds.
size_t cscx_block_values(cscx_block format);

/// How many bytes a block takes.
size_t cscx_block_bytes(cscx_block format);

/// Writes the numbers of `count` successive blocks, which may start at any address.
///
/// Every processor gives the same bits: each operation is rounded to float32.
void cscx_read_blocks(cscx_block format, const void *blocks, size_t count, float *out);

/// out[i] = the number of the byte codes[i] in the format E4M3 of eight bits (no infinities; 0x7f and 0xff are NaN).
void cscx_read_e4m3(const uint8_t *codes, size_t count, float *out);

/// Writes 32 numbers in the format E2M1 of four bits times 2^(exponent - 127): byte i holds number 2i in its low half
/// and number 2i + 1 in its high half.
void cscx_read_mxfp4(const uint8_t *codes, uint8_t exponent, float *out);

#endif
