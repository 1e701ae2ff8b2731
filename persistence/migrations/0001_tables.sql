-- Units are in the column names: _base in base currency, _quote in quote currency, _bps in basis
-- points, _us and _ms durations. Amounts are numeric, times timestamptz.

create table runs (
    run_id      text primary key,
    started_at  timestamptz not null,
    mode        text not null,
    version     text not null,
    stopped_at  timestamptz,
    exit_code   integer
);

create table pairs (
    run_id         text not null references runs,
    pair           text not null,
    first_venue    text not null,
    first_symbol   text not null,
    second_venue   text not null,
    second_symbol  text not null,
    size_base      numeric not null,
    entry_bps      double precision not null,
    exit_bps       double precision not null,
    primary key (run_id, pair)
);

-- Every log line that went to persistence, exactly once: the journal's number is the key.
create table events (
    journal_id  text not null,
    number      bigint not null,
    run_id      text not null,
    at          timestamptz not null,
    mono_ns     bigint not null,
    proc        text not null,
    level       text not null,
    event       text not null,
    pair        text,
    trade_id    bigint,
    body        jsonb not null,
    primary key (journal_id, number)
);
create index events_at on events (at);
create index events_event on events (event, at);
create index events_trade on events (run_id, trade_id) where trade_id is not null;

create table trades (
    trade_id          bigint primary key,
    run_id            text not null,
    pair              text not null,
    direction         smallint not null,  -- +1: long the first leg, short the second
    state             text not null,      -- open, closed
    size_base         numeric,
    opened_at         timestamptz,
    closed_at         timestamptz,
    entry_spread_bps  double precision,   -- as filled
    exit_spread_bps   double precision,
    gross_quote       numeric,            -- before fees and funding
    fees_quote        numeric,
    funding_quote     numeric,
    net_quote         numeric,
    naked_ms          double precision,
    retries           integer
);
create index trades_opened on trades (opened_at);

create table orders (
    client_order_id      bigint primary key,
    run_id               text not null,
    trade_id             bigint,
    pair                 text,
    leg                  smallint,
    venue                text not null,
    symbol               text,
    venue_order_id       text,
    side                 text,
    purpose              text,
    attempt              integer,
    reduce_only          boolean,
    size_base            numeric,
    limit_price_quote    numeric,
    status               text not null,   -- sent, open, filled, cancelled, rejected, in_doubt
    filled_base          numeric,
    average_price_quote  numeric,
    fee_quote            numeric,
    reason               text,
    sent_at              timestamptz,
    acked_at             timestamptz,
    done_at              timestamptz,
    ack_us               double precision,
    fill_us              double precision
);
create index orders_trade on orders (trade_id);

create table fills (
    venue            text not null,
    fill_id          text not null,
    client_order_id  bigint,
    trade_id         bigint,
    run_id           text not null,
    symbol           text,
    side             text,
    price_quote      numeric not null,
    size_base        numeric not null,
    fee_quote        numeric,
    filled_at        timestamptz not null,
    primary key (venue, fill_id)
);

-- The newest known position of each instrument.
create table positions (
    venue              text not null,
    symbol             text not null,
    run_id             text not null,
    size_base          numeric not null,   -- signed, long positive
    entry_price_quote  numeric,
    updated_at         timestamptz not null,
    primary key (venue, symbol)
);

create table slippage (
    trade_id               bigint not null,
    kind                   text not null,     -- entry, exit
    run_id                 text not null,
    pair                   text not null,
    detected_bps           double precision,
    sent_bps               double precision,
    filled_bps             double precision,
    first_leg_bps          double precision,  -- fill against the price seen, positive = worse
    second_leg_bps         double precision,
    recv_to_publish_us     double precision,
    publish_to_seen_us     double precision,
    seen_to_decided_us     double precision,
    decided_to_executor_us double precision,
    executor_to_first_us   double precision,
    executor_to_both_us    double precision,
    recv_to_both_us        double precision,
    at                     timestamptz not null,
    primary key (trade_id, kind)
);

create table funding (
    venue       text not null,
    payment_id  text not null,
    symbol      text not null,
    run_id      text not null,
    amount_quote numeric not null,            -- positive = received
    paid_at     timestamptz not null,
    primary key (venue, payment_id)
);

create view open_trades as
    select trade_id, pair, direction, size_base, entry_spread_bps, opened_at
    from trades where state = 'open' order by opened_at;

create view daily_result as
    select date_trunc('day', closed_at) as day, pair, count(*) as trades, sum(gross_quote) as gross_quote,
           sum(fees_quote) as fees_quote, sum(coalesce(funding_quote, 0)) as funding_quote,
           sum(net_quote) as net_quote
    from trades where state = 'closed' group by 1, 2 order by 1, 2;
