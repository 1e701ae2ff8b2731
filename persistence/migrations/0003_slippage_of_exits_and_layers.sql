-- One row per entry layer and per exit, with both legs at every stage.
alter table slippage
    add column layer               smallint not null default 0,  -- of an entry; 0 for an exit
    add column signal_id           bigint,
    add column first_leg_sent_bps  double precision,  -- touch when the bytes left against the price seen
    add column second_leg_sent_bps double precision,
    add column first_acked_us      double precision,  -- written to the venue's answer
    add column second_acked_us     double precision,
    add column first_filled_us     double precision,  -- written to the fill
    add column second_filled_us    double precision,
    drop constraint slippage_pkey,
    add primary key (trade_id, kind, layer);
