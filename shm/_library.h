/* What every library has for runtime/native.py, which holds it against this code before it is used. */
#ifndef TANDEM_LIBRARY_H
#define TANDEM_LIBRARY_H

#include "_layout_items.h"

/* The layouts it was built with, by name; the list ends with an empty name. */
const LayoutItem *library_layout(void) {
    return LAYOUT;
}

/* A digest of the sources it was built from. */
const char *library_digest(void) {
    return SOURCE_DIGEST;
}

#endif
