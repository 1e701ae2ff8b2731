#include "warm.h"

volatile int64_t warm_sink;
