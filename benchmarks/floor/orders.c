#include "orders.h"

#include <stdbool.h>
#include <stdio.h>

#include "websocket.h"

static void render_vest(Rendered *order, const Settings *settings, int64_t id, bool is_buy) {
    char body[1024];
    int size = snprintf(body, sizeof body,
                        "{\"order\":{\"time\":1764000000000,\"nonce\":%lld,\"symbol\":\"BTC-PERP\",\"isBuy\":%s,"
                        "\"size\":\"0.0100\",\"orderType\":\"LIMIT\",\"limitPrice\":\"83481.50\",\"reduceOnly\":false,"
                        "\"timeInForce\":\"FOK\"},\"recvWindow\":5000,\"signature\":\"0x%0130d\"}",
                        (long long)id, is_buy ? "true" : "false", 0);
    order->size = (size_t)snprintf(order->bytes, sizeof order->bytes,
                                   "POST /v2/orders HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nxrestservermm: restserver0\r\n"
                                   "X-API-KEY: benchmark\r\nContent-Type: application/json\r\n"
                                   "Content-Length: %d\r\n\r\n%s",
                                   settings->ports[VEST], size, body);
}

static void render_paradex(Rendered *order, int64_t id, bool is_buy) {
    char body[1024];
    int size = snprintf(body, sizeof body,
                        "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"method\":\"order.create\",\"params\":{"
                        "\"market\":\"BTC-USD-PERP\",\"side\":\"%s\",\"type\":\"LIMIT\",\"size\":\"0.01\","
                        "\"price\":\"83481.5\",\"instruction\":\"IOC\",\"client_id\":\"%lld\","
                        "\"signature_timestamp\":1764000000000,\"signature\":\"[\\\"%076d\\\",\\\"%076d\\\"]\"}}",
                        (long long)id, is_buy ? "BUY" : "SELL", (long long)id, 0, 0);
    order->size = websocket_render(order->bytes, body, (size_t)size);
}

void orders_render(Orders *orders, const Settings *settings, int64_t id) {
    orders->id = id;
    for (int is_entry = 0; is_entry < 2; is_entry++) {
        render_vest(&orders->by_direction[is_entry][VEST], settings, id, is_entry);
        render_paradex(&orders->by_direction[is_entry][PARADEX], id, !is_entry);
    }
}
