-- Paper and live, and bots that share a database, hold different things on one instrument.
alter table positions
    add column bot_id text not null default '',
    add column mode   text not null default '';
update positions p set bot_id = coalesce(r.bot_id, ''), mode = r.mode from runs r where r.run_id = p.run_id;
alter table positions
    drop constraint positions_pkey,
    add primary key (bot_id, mode, venue, symbol);

drop view open_positions;
create view open_positions as
    select p.pair, p.trade_id, t.direction, p.venue, p.symbol, p.size_base, p.entry_price_quote,
           abs(p.size_base) * p.entry_price_quote as notional_quote, p.venue_size_base,
           p.size_base = p.venue_size_base as is_agreed, t.opened_at, p.updated_at, p.venue_told_at,
           p.bot_id, p.mode
    from positions p left join trades t using (trade_id)
    where coalesce(p.size_base, 0) <> 0 or coalesce(p.venue_size_base, 0) <> 0
    order by p.bot_id, p.mode, p.pair, p.venue;

-- Executions are told on a stream. One that was told while nobody listened is known by what its order
-- filled in all, asked for afterwards: is_remainder marks the row for what the others leave of that, under a
-- fill_id of ours and at the average price (0 where none was told). The sum of an order's fills is thereby
-- what the venue says it filled; should the execution be told after all, the remainder shrinks by it.
alter table fills add column is_remainder boolean not null default false;
create index fills_order on fills (client_order_id);
