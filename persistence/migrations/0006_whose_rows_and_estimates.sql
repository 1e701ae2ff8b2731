-- Bots and modes that share a database never mix: every row says whose it is, and keys and views go by it.
-- Rows from before take both from their run.
set local statement_timeout = 0;  -- as long as it takes, once

alter table trades   add column bot_id text not null default '', add column mode text not null default '';
alter table orders   add column bot_id text not null default '', add column mode text not null default '';
alter table fills    add column bot_id text not null default '', add column mode text not null default '';
alter table funding  add column bot_id text not null default '', add column mode text not null default '';
alter table slippage add column bot_id text not null default '', add column mode text not null default '';

update trades t   set bot_id = coalesce(r.bot_id, ''), mode = r.mode from runs r where r.run_id = t.run_id;
update orders t   set bot_id = coalesce(r.bot_id, ''), mode = r.mode from runs r where r.run_id = t.run_id;
update fills t    set bot_id = coalesce(r.bot_id, ''), mode = r.mode from runs r where r.run_id = t.run_id;
update funding t  set bot_id = coalesce(r.bot_id, ''), mode = r.mode from runs r where r.run_id = t.run_id;
update slippage t set bot_id = coalesce(r.bot_id, ''), mode = r.mode from runs r where r.run_id = t.run_id;

update positions t set bot_id = coalesce(r.bot_id, ''), mode = r.mode from runs r
    where r.run_id = t.run_id and t.bot_id = '' and t.mode = '';

alter table trades   drop constraint trades_pkey,   add primary key (bot_id, mode, trade_id);
alter table orders   drop constraint orders_pkey,   add primary key (bot_id, mode, client_order_id);
alter table fills    drop constraint fills_pkey,    add primary key (bot_id, mode, venue, fill_id);
alter table funding  drop constraint funding_pkey,  add primary key (bot_id, mode, venue, payment_id);
alter table slippage drop constraint slippage_pkey, add primary key (bot_id, mode, trade_id, kind, layer);

-- True until the venues have told every price and fee of the row; after that a correction has put in what
-- they are. It stays true where an amount was read off a position and nobody ever says what it was.
alter table orders    add column is_estimated boolean not null default false;
alter table trades    add column is_estimated boolean not null default false;
alter table positions add column is_estimated boolean not null default false;

drop view open_positions;
drop view open_trades;
drop view daily_profit;
drop view slippage_by_venue;

-- What is held now, each leg with its trade; is_agreed compares our word with the venue's last one.
create view open_positions as
    select p.pair, p.trade_id, t.direction, p.venue, p.symbol, p.size_base, p.entry_price_quote,
           abs(p.size_base) * p.entry_price_quote as notional_quote, p.venue_size_base,
           p.size_base = p.venue_size_base as is_agreed, t.opened_at, p.updated_at, p.venue_told_at,
           p.bot_id, p.mode, p.is_estimated
    from positions p left join trades t using (bot_id, mode, trade_id)
    where coalesce(p.size_base, 0) <> 0 or coalesce(p.venue_size_base, 0) <> 0
    order by p.bot_id, p.mode, p.pair, p.venue;

create view open_trades as
    select trade_id, pair, direction, size_base, entry_spread_bps, opened_at, bot_id, mode, is_estimated
    from trades where state = 'open' order by bot_id, mode, opened_at;

-- Result of each UTC day and pair: trades on the day they closed, funding on the day it was paid.
create view daily_profit as
    select day, pair, sum(trades)::bigint as trades, sum(gross_quote) as gross_quote,
           sum(fees_quote) as fees_quote, sum(funding_quote) as funding_quote,
           sum(gross_quote) - sum(fees_quote) + sum(funding_quote) as net_quote,
           bot_id, mode, bool_or(is_estimated) as is_estimated
    from (
        select bot_id, mode, (closed_at at time zone 'utc')::date as day, pair, 1 as trades,
               coalesce(gross_quote, 0) as gross_quote, coalesce(fees_quote, 0) as fees_quote,
               0 as funding_quote, is_estimated
        from trades where state = 'closed'
        union all
        select bot_id, mode, (paid_at at time zone 'utc')::date, coalesce(pair, ''), 0, 0, 0, amount_quote,
               false
        from funding
    ) as parts
    group by bot_id, mode, day, pair order by bot_id, mode, day, pair;

-- How much worse than the price seen the legs filled, per venue; positive = worse.
create view slippage_by_venue as
    select venue, kind, count(*) as legs, avg(bps) as mean_bps,
           percentile_cont(0.5) within group (order by bps) as median_bps,
           percentile_cont(0.95) within group (order by bps) as p95_bps, max(bps) as worst_bps,
           bot_id, mode
    from (
        select s.bot_id, s.mode, p.first_venue as venue, s.kind, s.first_leg_bps as bps
        from slippage s join pairs p using (run_id, pair)
        union all
        select s.bot_id, s.mode, p.second_venue, s.kind, s.second_leg_bps
        from slippage s join pairs p using (run_id, pair)
    ) as legs
    where bps is not null
    group by bot_id, mode, venue, kind order by bot_id, mode, venue, kind;
