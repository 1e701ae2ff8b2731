-- Both sides of every position: what our orders made of it (the executor's word), what the venue says.
alter table positions
    add column pair             text,
    add column trade_id         bigint,               -- of the open trade it belongs to
    add column venue_size_base  numeric,              -- signed, as the venue told it last
    add column venue_told_at    timestamptz,
    alter column size_base  drop not null,            -- a venue may tell of one before we do
    alter column updated_at drop not null;

alter table runs add column bot_id text;
alter table funding add column pair text;
create index funding_paid on funding (paid_at);

drop view open_trades;
drop view daily_result;

-- What is held now, each leg with its trade; is_agreed compares our word with the venue's last one.
create view open_positions as
    select p.pair, p.trade_id, t.direction, p.venue, p.symbol, p.size_base, p.entry_price_quote,
           abs(p.size_base) * p.entry_price_quote as notional_quote, p.venue_size_base,
           p.size_base = p.venue_size_base as is_agreed, t.opened_at, p.updated_at, p.venue_told_at
    from positions p left join trades t using (trade_id)
    where coalesce(p.size_base, 0) <> 0 or coalesce(p.venue_size_base, 0) <> 0
    order by p.pair, p.venue;

create view open_trades as
    select trade_id, pair, direction, size_base, entry_spread_bps, opened_at
    from trades where state = 'open' order by opened_at;

-- Result of each UTC day and pair: trades on the day they closed, funding on the day it was paid.
create view daily_profit as
    select day, pair, sum(trades)::bigint as trades, sum(gross_quote) as gross_quote,
           sum(fees_quote) as fees_quote, sum(funding_quote) as funding_quote,
           sum(gross_quote) - sum(fees_quote) + sum(funding_quote) as net_quote
    from (
        select (closed_at at time zone 'utc')::date as day, pair, 1 as trades,
               coalesce(gross_quote, 0) as gross_quote, coalesce(fees_quote, 0) as fees_quote,
               0 as funding_quote
        from trades where state = 'closed'
        union all
        select (paid_at at time zone 'utc')::date, coalesce(pair, ''), 0, 0, 0, amount_quote from funding
    ) as parts
    group by day, pair order by day, pair;

-- How much worse than the price seen the legs filled, per venue; positive = worse.
create view slippage_by_venue as
    select venue, kind, count(*) as legs, avg(bps) as mean_bps,
           percentile_cont(0.5) within group (order by bps) as median_bps,
           percentile_cont(0.95) within group (order by bps) as p95_bps, max(bps) as worst_bps
    from (
        select p.first_venue as venue, s.kind, s.first_leg_bps as bps
        from slippage s join pairs p using (run_id, pair)
        union all
        select p.second_venue, s.kind, s.second_leg_bps
        from slippage s join pairs p using (run_id, pair)
    ) as legs
    where bps is not null
    group by venue, kind order by venue, kind;
