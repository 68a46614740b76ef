#ifndef CSCX_KERNELS_H
#define CSCX_KERNELS_H

// One header per operation; each kernel's Swift gate (SCXInference/Kernels) has the same name.
#include "attention.h"
#include "elementwise.h"
#include "fixed.h"
#include "isa.h"
#include "linear.h"
#include "pages.h"
#include "pool.h"
#include "ring.h"
#include "sketch.h"

#endif
