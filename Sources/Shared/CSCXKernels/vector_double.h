// Vectors of CSCX_LANES / 2 doubles, beside those of vector.h, which comes first. No header guard, as there.

typedef float vfh __attribute__((ext_vector_type(CSCX_LANES / 2)));
typedef double vd __attribute__((ext_vector_type(CSCX_LANES / 2)));

INLINE vd doubles_of(vfh v) { return __builtin_convertvector(v, vd); }

// Adjacent floats as doubles.
INLINE vd load_doubles(const float *p) {
    vfh v;
    memcpy(&v, p, sizeof v);
    return doubles_of(v);
}

// Rounds doubles to floats.
INLINE void store_doubles(float *p, vd v) {
    const vfh rounded = __builtin_convertvector(v, vfh);
    memcpy(p, &rounded, sizeof rounded);
}
