#ifndef CSCX_KERNELS_H
#define CSCX_KERNELS_H

// There is one header per operation. The Swift function that checks the arguments of a kernel and calls it is in the
// file of the same name in SCXInference/Kernels.
#include "attention.h"
#include "blocks.h"
#include "elementwise.h"
#include "exact.h"
#include "fixed.h"
#include "isa.h"
#include "linear.h"
#include "pages.h"
#include "pool.h"
#include "ring.h"
#include "secrets.h"
#include "sketch.h"

#endif
